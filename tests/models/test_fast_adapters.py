"""LoRA layers by the fast way agree with PEFT's own."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from triggerfish.models import training
from triggerfish.models.fast_adapters import _Product, fast_adapters

peft = pytest.importorskip("peft")


class Block(torch.nn.Module):
    """Two layers that read one input, and a third behind them."""

    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        self.left, self.right = (torch.nn.Linear(12, 16, bias=bias) for _ in range(2))
        self.behind = torch.nn.Linear(16, 8, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.behind(functional.silu(self.left(x)) * self.right(x))


def adapted(bias: bool = False, **changes: object) -> torch.nn.Module:
    config = peft.LoraConfig(target_modules=["left", "right", "behind"], r=3, **changes)
    model = peft.get_peft_model(Block(bias), config)
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draws) / 3)
    return model


LOW, FULL = torch.bfloat16, torch.float32


def gradients(model: torch.nn.Module, x: torch.Tensor, dtype: torch.dtype) -> dict[str, Any]:
    """Of the input and of every adapter, in mixed precision or in fp32."""
    x = x.clone().requires_grad_(True)
    with torch.autocast("cpu", LOW, enabled=dtype == LOW, cache_enabled=False):
        out = model(x)
    out.float().square().mean().backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return {"output": out.detach().float(), "input": x.grad, **found}


INPUT = torch.linspace(-1, 1, 2 * 5 * 12).view(2, 5, 12).sin()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("dtype", "off"), [(LOW, 0.05), (FULL, 1e-5)])
def test_values_and_gradients_are_those_of_the_general_layer(bias, dtype, off):
    slow = gradients(adapted(bias), INPUT, dtype)
    fast = adapted(bias)
    with fast_adapters(fast, dtype) as count:
        assert count == 3
        quick = gradients(fast, INPUT, dtype)
    assert quick.keys() == slow.keys()
    for name, expected in slow.items():
        assert quick[name].dtype == expected.dtype
        assert float((quick[name] - expected).norm()) < off * float(expected.norm())


@pytest.mark.parametrize("dtype", [LOW, FULL])
def test_only_the_precision_that_was_asked_for_takes_the_short_way(dtype, monkeypatch):
    model = adapted()
    taken = []
    apply = _Product.apply
    monkeypatch.setattr(_Product, "apply", lambda *given: taken.append(1) or apply(*given))
    with fast_adapters(model, dtype):
        gradients(model, INPUT, LOW if dtype == FULL else FULL)
        assert not taken
        gradients(model, INPUT, dtype)
        assert len(taken) == 3


def test_an_input_changed_in_place_is_read_again():
    model = adapted()
    with fast_adapters(model, LOW), torch.autocast("cpu", LOW, cache_enabled=False):
        x = INPUT.clone()
        before = model(x).detach().clone()
        x.mul_(2)
        assert not torch.equal(model(x), before)


def test_what_is_not_plain_is_left_to_the_library():
    for changes in ({"lora_dropout": 0.1}, {"use_dora": True}):
        with fast_adapters(adapted(**changes), LOW) as count:
            assert count == 0
    with fast_adapters(Block(), LOW) as count:
        assert count == 0


@pytest.mark.parametrize("mixed", [True, False])
def test_a_training_takes_the_short_way_in_its_own_precision(mixed, monkeypatch):
    monkeypatch.setattr(training, "mixed_precision", lambda: mixed)
    model = adapted()
    taken = []
    apply = _Product.apply
    monkeypatch.setattr(
        _Product, "apply", lambda *given: taken.append(given[1].dtype) or apply(*given)
    )
    with training.fast_training(model):
        model(INPUT)
    model(INPUT)
    assert taken == 3 * [LOW if mixed else FULL]


@pytest.mark.parametrize("dtype", [LOW, FULL])
def test_without_gradients_or_adapter_the_library_computes(dtype):
    model = adapted()
    with torch.no_grad():
        expected = model(INPUT)
        with model.disable_adapter():
            bare = model(INPUT)
    with fast_adapters(model, dtype), torch.no_grad():
        assert torch.equal(model(INPUT), expected)
        with model.disable_adapter():
            assert torch.equal(model(INPUT), bare)
    assert not torch.equal(bare, expected)
    assert all("forward" not in vars(module) for module in model.modules())
