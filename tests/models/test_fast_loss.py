import math

import pytest
import torch

from triggerfish.models.fast_loss import mean_nll


def both(logits: torch.Tensor, ids: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Loss and gradient by ours and by torch's."""
    found = []
    for loss in (mean_nll, torch.nn.functional.cross_entropy):
        own = logits.clone().requires_grad_()
        value = loss(own if loss is mean_nll else own.float(), ids)
        (3 * value).backward()
        assert own.grad is not None
        found.append((value.detach(), own.grad))
    return found


@pytest.mark.parametrize("rows", [1, 127, 128, 129, 300])
def test_as_cross_entropy_in_fp32(rows: int) -> None:
    draws = torch.Generator().manual_seed(rows)
    logits = torch.randn(rows, 50, generator=draws) * 5
    ours, theirs = both(logits, torch.randint(50, (rows,), generator=draws))
    torch.testing.assert_close(ours, theirs)


def test_as_cross_entropy_in_bf16_up_to_rounding() -> None:
    draws = torch.Generator().manual_seed(0)
    logits = (torch.randn(300, 50, generator=draws) * 5).bfloat16()
    ours, theirs = both(logits, torch.randint(50, (300,), generator=draws))
    assert ours[0].dtype == torch.float32
    assert ours[1].dtype == torch.bfloat16
    torch.testing.assert_close(ours[0], theirs[0])
    torch.testing.assert_close(ours[1].float(), theirs[1].float(), rtol=0.01, atol=1e-5)


def test_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)]], requires_grad=True)  # p = 1/4, 3/4
    loss = mean_nll(logits, torch.tensor([0]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(4))
    assert logits.grad is not None
    assert logits.grad.tolist() == [pytest.approx([-0.75, 0.75])]


def test_far_logits_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = mean_nll(logits, torch.tensor([1]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(2e4)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_token_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(RuntimeError, match="out of bounds"):
        mean_nll(torch.zeros(1, 3), torch.tensor([3]))
