"""Which effects are more than chance, and whether a ranking holds on other texts.

*Shapes*: L layers, C components, N inputs, K draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from scipy.stats import t as student

from triggerfish.errors import BadInput
from triggerfish.explain.effects import Array, Effects, Metric
from triggerfish.types import Estimate


@dataclass(frozen=True, kw_only=True)
class MeanEffects:
    """Mean effects with 95 % bootstrap intervals over inputs.

    Attributes:
        mean: ACIE, [L, C].
        low: [L, C].
        high: [L, C].
        significant: different from zero at 5 % over all components together (t-test with
            Bonferroni's correction; the bootstrap is too narrow so far out), [L, C].
        n: inputs.
    """

    mean: Array
    low: Array
    high: Array
    significant: NDArray[np.bool_]
    n: int

    def estimate(self, layer: int, index: int) -> Estimate:
        """One effect with its interval."""
        place = layer, index
        return Estimate(
            value=float(self.mean[place]),
            low=float(self.low[place]),
            high=float(self.high[place]),
            n=self.n,
            method="bootstrap",
        )


def mean_effects(cie: Array, rng: np.random.Generator, draws: int = 2000) -> MeanEffects:
    """Bootstrap the mean over inputs of every effect, with the same draws for all.

    Args:
        cie: effect of each component on each input, [L, C, N].
        rng: a generator of `triggerfish.seeding`.
        draws: K.

    Raises:
        BadInput: fewer than two inputs, or an effect that is not finite.
    """
    n = cie.shape[-1]
    if n < 2 or not np.isfinite(cie).all():
        raise BadInput(
            f"effects of shape {cie.shape}",
            "intervals need at least two inputs and finite effects",
            "give more records, and look for NaN in the model",
        )
    flat = cie.reshape(-1, n)  # [L C, N]
    weights = rng.multinomial(n, np.full(n, 1 / n), size=draws) / n  # [K, N]
    low, high = np.quantile(weights @ flat.T, [0.025, 0.975], axis=0)  # [L C]
    error = flat.std(axis=1, ddof=1) / np.sqrt(n)
    limit = student.ppf(1 - 0.025 / len(flat), n - 1)
    mean = flat.mean(axis=1)
    shape = cie.shape[:-1]
    return MeanEffects(
        mean=mean.reshape(shape),
        low=low.reshape(shape),
        high=high.reshape(shape),
        significant=(np.abs(mean) > limit * error).reshape(shape),
        n=n,
    )


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two halves of the texts agree about a ranking.

    Attributes:
        spearman: rank correlation of the effects.
        shared: how many of the first `top` components are the same.
        top: how many were compared.
    """

    spearman: float
    shared: int
    top: int


def halves_agree(
    effects: Effects, rng: np.random.Generator, metric: Metric = "log_odds", top: int = 8
) -> Agreement:
    """Rank on one random half of the inputs, and again on the other.

    Raises:
        BadInput: fewer than two inputs.
    """
    n = effects.base.target.shape[-1]
    if n < 2:
        raise BadInput(f"{n} inputs", "two halves need at least two", "give more records")
    order = rng.permutation(n)
    first, second = order[: n // 2], order[n // 2 :]
    cie = effects.cie(metric)
    means = [cie[..., half].mean(axis=-1).ravel() for half in (first, second)]
    correlation = float(spearmanr(*means).statistic) if min(map(np.ptp, means)) > 0 else 0.0
    leading = [set(effects.ranking(metric, half)[:top]) for half in (first, second)]
    return Agreement(
        spearman=correlation, shared=len(leading[0] & leading[1]), top=min(top, means[0].size)
    )
