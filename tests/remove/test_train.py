import numpy as np
import pytest
import torch
from torch import nn

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.remove.delta import editing
from triggerfish.remove.train import Budget, descend, draws, optimiser


def test_every_row_once_before_any_row_again():
    batches = draws(5, 2, np.random.default_rng(0))
    rows = [i for _ in range(5) for i in next(batches)]
    assert sorted(rows[:5]) == sorted(rows[5:]) == [0, 1, 2, 3, 4]


def test_a_batch_never_holds_more_rows_than_there_are():
    assert sorted(next(draws(3, 16, np.random.default_rng(0)))) == [0, 1, 2]


def test_first_adam_step_by_hand():
    model = nn.Linear(2, 1, bias=False)
    with editing(model) as loan:
        before = model.weight.detach().clone()
        losses = descend(
            loan,
            optimiser(loan, 0.25),
            [lambda: (model.weight * torch.tensor([2.0, -0.5])).sum()],
            clip=1.0,
        )
        # Adam's first step is the rate times the sign of the gradient, clipped or not.
        assert (model.weight - before).tolist() == [[pytest.approx(-0.25), pytest.approx(0.25)]]
        assert losses == [pytest.approx(float((before * torch.tensor([2.0, -0.5])).sum()))]


def test_a_loss_that_is_not_finite_stops():
    model = nn.Linear(1, 1)
    with editing(model) as loan, pytest.raises(CouldNotTest, match="loss nan at step 1"):
        descend(loan, optimiser(loan, 0.1), [lambda: model.weight.sum() * float("nan")], 1.0)


@pytest.mark.parametrize("settings", [{"steps": 0}, {"steps": 1, "rate": 0.0}])
def test_budgets_that_train_nothing_are_refused(settings):
    with pytest.raises(BadInput):
        Budget(**settings)
