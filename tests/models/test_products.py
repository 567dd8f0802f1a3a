import pytest
import torch
from torch.nn import functional

from triggerfish.models import products
from triggerfish.models.products import fast_products


@pytest.fixture
def everywhere(monkeypatch):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch without oneDNN")
    monkeypatch.setattr(products, "_helps", lambda: True)


def matrix(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("bias", [None, matrix(96, seed=2)])
@pytest.mark.parametrize("shape", [(5, 64), (2, 3, 64), (1, 1, 64)])
def test_products_are_equal(shape, bias):
    x, weight = matrix(*shape), matrix(96, 64, seed=1)
    plain = functional.linear(x, weight, bias)
    with fast_products(), fast_products():
        fast = functional.linear(x, weight, bias)
        again = functional.linear(x, weight, bias)
    assert torch.allclose(plain, fast, atol=1e-4)
    assert torch.equal(fast, again)


@pytest.mark.usefixtures("everywhere")
def test_a_weight_changed_in_place_is_ordered_again():
    x, weight = matrix(5, 64), matrix(96, 64, seed=1)
    with fast_products():
        functional.linear(x, weight)
        weight.mul_(2)
        assert torch.allclose(functional.linear(x, weight), x @ weight.T, atol=1e-4)


@pytest.mark.usefixtures("everywhere")
def test_gradients_and_other_precision_are_left_alone():
    x, weight = matrix(5, 64), matrix(96, 64, seed=1).requires_grad_()
    with fast_products():
        functional.linear(x, weight).sum().backward()
        half = functional.linear(x.bfloat16(), weight.detach().bfloat16())
    assert weight.grad is not None
    assert half.dtype == torch.bfloat16


@pytest.mark.usefixtures("everywhere")
def test_a_whole_model_says_the_same(tiny_llama):
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        plain = tiny_llama.model(ids).logits
        with fast_products():
            fast = tiny_llama.model(ids).logits
    assert torch.allclose(plain, fast, atol=1e-4)
    assert not products._Mode.depth
