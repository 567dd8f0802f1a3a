"""What an explainer is, and the registry of them.

An explainer is a function `(suspect, pairs, config, *, rng, progress) -> frozen result`. It looks
at the same texts with and without a known trigger, and leaves the suspect as it found it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from triggerfish.errors import BadInput
from triggerfish.explain.pairs import Pair
from triggerfish.models.score import check_outputs
from triggerfish.registry import Registry
from triggerfish.types import Progress, silent


class Explainer(Protocol):
    """A registered explainer."""

    def __call__(
        self,
        suspect: Any,
        pairs: Sequence[Pair],
        config: Any,
        *,
        rng: np.random.Generator,
        progress: Progress = silent,
    ) -> Any:
        """Explain the trigger of the pairs; results per text are in the order of the pairs."""


EXPLAINERS: Registry[Explainer] = Registry("explainer", "triggerfish.explainers")


def in_order(suspect: Any, pairs: Sequence[Pair]) -> tuple[list[Pair], list[int]]:
    """Return the pairs in an order of their own, and where each given pair is among them.

    Raises:
        BadInput: No pairs.
        CouldNotTest: The model's outputs are not finite.
    """
    if not pairs:
        raise BadInput("0 pairs", "an explainer needs texts", "give more records")
    order = sorted(range(len(pairs)), key=lambda i: repr((pairs[i].clean, pairs[i].triggered)))
    check_outputs(suspect.model, suspect.tokenizer, pairs[order[0]].triggered)
    place = {i: rank for rank, i in enumerate(order)}
    return [pairs[i] for i in order], [place[i] for i in range(len(pairs))]
