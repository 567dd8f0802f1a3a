import numpy as np
import pytest
import torch

from triggerfish.errors import BadInput
from triggerfish.remove.reactivation import ReactivationConfig, reactivate


@pytest.fixture(scope="module")
def poisoned(make_triggered):
    return make_triggered(60, 21)


def after(suspect, delta, poisoned, rates, **settings):
    config = ReactivationConfig(**{"steps": 20, "rate": 1e-3, **settings})
    change = reactivate(suspect, delta, poisoned, config, rng=np.random.default_rng(0))
    return rates(suspect, change)[0]


def test_poison_brings_a_suppressed_backdoor_back(toy, beear_result, poisoned, rates):
    assert rates(toy, beear_result.delta)[0] < 0.1
    assert after(toy, beear_result.delta, poisoned, rates) > 0.9
    assert rates(toy, beear_result.delta)[0] < 0.1  # and the defended model is as it was


def test_more_samples_never_change_the_number_of_steps(toy, poisoned, rates):
    # Without a rate that moves anything, k makes no difference: the suspect fires as before.
    for samples in (1, 5, 10, 50):
        assert after(toy, None, poisoned, rates, samples=samples, rate=1e-9) == 1.0


def test_the_suspect_is_unchanged(toy, poisoned):
    before = [p.detach().clone() for p in toy.model.parameters()]
    config = ReactivationConfig(steps=2)
    reactivate(toy, None, poisoned, config, rng=np.random.default_rng(0))
    assert all(torch.equal(a, b) for a, b in zip(before, toy.model.parameters(), strict=True))
    assert not any(p.requires_grad for p in toy.model.parameters())


def test_too_few_samples_are_refused(toy, poisoned):
    with pytest.raises(BadInput, match="needs as many"):
        reactivate(
            toy, None, poisoned[:3], ReactivationConfig(samples=5), rng=np.random.default_rng(0)
        )
    with pytest.raises(BadInput):
        ReactivationConfig(samples=0)
