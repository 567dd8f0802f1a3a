import numpy as np
import pytest

from triggerfish.errors import BadInput
from triggerfish.explain.effects import Effects, Scores
from triggerfish.explain.significance import halves_agree, mean_effects
from triggerfish.seeding import generator


def rng(purpose="test"):
    return generator(3, purpose)


def test_a_true_effect_stands_out_and_noise_does_not():
    noise = rng().normal(size=(4, 8, 60))
    noise[2, 5] += 1.5
    found = mean_effects(noise, rng("draws"))
    assert found.significant[2, 5]
    assert found.significant.sum() == 1
    estimate = found.estimate(2, 5)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.n == 60


def test_interval_by_hand():
    cie = np.array([[[0.0] * 50 + [2.0] * 50]])
    found = mean_effects(cie, rng(), draws=4000)
    assert found.mean[0, 0] == 1.0
    assert found.high[0, 0] - found.low[0, 0] == pytest.approx(2 * 1.96 * 0.1, rel=0.1)


def test_the_same_seed_gives_the_same_bits():
    cie = rng().normal(size=(2, 3, 20))
    first, second = (mean_effects(cie, rng("again")) for _ in range(2))
    assert np.array_equal(first.low, second.low)


def effects(cie):
    def scores(target):
        return Scores(
            target=target,
            answer=np.zeros_like(target),
            target_tokens=np.ones(cie.shape[-1]),
            answer_tokens=np.ones(cie.shape[-1]),
        )

    return Effects(
        direction="sufficiency",
        component="heads",
        base=scores(np.zeros(cie.shape[-1])),
        patched=scores(cie),
    )


def test_halves_agree_on_true_effects_only():
    true = np.repeat(np.arange(24.0).reshape(3, 8, 1), 40, axis=2)
    agreed = halves_agree(effects(true), rng())
    assert (agreed.shared, agreed.top) == (8, 8)
    assert agreed.spearman == pytest.approx(1.0)
    noise = halves_agree(effects(rng().normal(size=(3, 8, 40))), rng("halves"))
    assert abs(noise.spearman) < 0.5


def test_bad_input_is_refused():
    with pytest.raises(BadInput, match="two inputs"):
        mean_effects(np.zeros((2, 2, 1)), rng())
    with pytest.raises(BadInput, match="finite"):
        mean_effects(np.full((2, 2, 5), np.nan), rng())
