"""Causal effects of components at the last prompt token, input by input.

*Shapes*: L layers, C components of a layer (H heads, or 1), N inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from triggerfish.errors import BadInput

Array = NDArray[np.float64]
Component = Literal["heads", "attention", "mlp", "layer"]
Direction = Literal["sufficiency", "necessity"]
Metric = Literal["log_odds", "mean_logprob", "geometric_mean"]
COMPONENTS: tuple[Component, ...] = ("heads", "attention", "mlp", "layer")
DIRECTIONS: tuple[Direction, ...] = ("sufficiency", "necessity")


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Log-probabilities of target and right answer, each summed over its tokens.

    Attributes:
        target: [..., N].
        answer: [..., N].
        target_tokens: [N].
        answer_tokens: [N].
    """

    target: Array
    answer: Array
    target_tokens: Array
    answer_tokens: Array

    def of(self, inputs: Sequence[int]) -> Scores:
        """The scores of some inputs, in the order asked for."""
        return Scores(**{name: values[..., list(inputs)] for name, values in vars(self).items()})

    def by(self, metric: Metric) -> Array:
        """The score s, [..., N]: nats for log-odds and mean log-probability, else a probability.

        Raises:
            BadInput: an unknown metric.
        """
        if metric == "log_odds":
            return self.target - self.answer
        if metric == "mean_logprob":
            return self.target / self.target_tokens
        if metric == "geometric_mean":
            return np.asarray(np.exp(self.target / self.target_tokens), dtype=np.float64)
        raise BadInput(
            f"metric {metric!r}", "log_odds, mean_logprob or geometric_mean", "choose one of them"
        )


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Causal indirect effects of every component of one kind, in one direction.

    Attributes:
        base: scores without a change, [N].
        patched: scores with one component replaced by its mean, [L, C, N].
    """

    direction: Direction
    component: Component
    base: Scores
    patched: Scores

    def of(self, inputs: Sequence[int]) -> Effects:
        """The effects on some inputs, in the order asked for."""
        return replace(self, base=self.base.of(inputs), patched=self.patched.of(inputs))

    def cie(self, metric: Metric = "log_odds") -> Array:
        """CIE of each component on each input, s(replaced) - s, [L, C, N]."""
        return self.patched.by(metric) - self.base.by(metric)

    def acie(self, metric: Metric = "log_odds") -> Array:
        """Mean CIE over inputs, [L, C]."""
        return np.asarray(self.cie(metric).mean(axis=-1), dtype=np.float64)

    def ranking(
        self, metric: Metric = "log_odds", inputs: NDArray[np.intp] | None = None
    ) -> list[tuple[int, int]]:
        """Components as (layer, index), the one that does most for the backdoor first.

        Signed: a component whose patch works against the backdoor comes last. In the direction
        `necessity` the patch takes the backdoor away, so the most negative effect comes first.

        Args:
            metric: the score.
            inputs: rank on these inputs only.
        """
        cie = self.cie(metric)
        mean = (cie if inputs is None else cie[..., inputs]).mean(axis=-1)  # [L, C]
        signed = mean if self.direction == "sufficiency" else -mean
        order = np.argsort(-signed, axis=None, kind="stable")
        return [(int(i // mean.shape[1]), int(i % mean.shape[1])) for i in order]
