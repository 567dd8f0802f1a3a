"""Re-activation: does a removed backdoor come back after a few poisoned samples?

Low attack success right after a defence shows that the backdoor is suppressed. If k poisoned
samples bring it back faster than they plant it in a clean model, it was not erased. So the same
number is measured on the clean reference too.
*Source*: the rule of measurement.md; no paper fixes steps and rate, ours are stated in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from triggerfish.data.conversation import Conversation
from triggerfish.errors import BadInput
from triggerfish.remove.align import cross_entropy
from triggerfish.remove.defence import batch_of
from triggerfish.remove.delta import Delta, Weights, applied, editing
from triggerfish.remove.train import descend, draws, optimiser

SAMPLES = (1, 5, 10, 50)


@dataclass(frozen=True, kw_only=True)
class ReactivationConfig:
    """Settings of the re-activation test.

    Attributes:
        samples: k, poisoned samples; 1, 5, 10 and 50 are usual.
        steps: optimiser steps, the same whatever k is.
        rate: learning rate of AdamW.
        rows: rows in a batch, at most k.
        clip: global gradient norm above which gradients are scaled down.
        weights: which weights are trained.
    """

    samples: int = 10
    steps: int = 20
    rate: float = 1e-4
    rows: int = 10
    clip: float = 1.0
    weights: Weights = "auto"

    def __post_init__(self) -> None:
        """Refuse settings that train nothing."""
        if min(self.samples, self.steps, self.rows) < 1 or not self.rate > 0:
            raise BadInput(
                f"samples {self.samples}, steps {self.steps}, rate {self.rate}",
                "all must be above 0",
                "raise them",
            )


def reactivate(
    suspect: Any,
    delta: Delta | None,
    poisoned: Sequence[Conversation],
    config: ReactivationConfig | None = None,
    *,
    rng: np.random.Generator,
) -> Delta:
    """Fine-tune the defended model on k poisoned samples.

    Args:
        suspect: the loaded model; comes back unchanged.
        delta: the defence's new weights, or None to poison the suspect itself.
        poisoned: triggered prompts with the attacker's answer, on texts that no test uses; the
            first k are taken.
        config: settings.
        rng: decides batches.

    Returns:
        New weights with respect to the suspect, worn with `applied`.

    Raises:
        BadInput: fewer than k poisoned samples.
        CouldNotTest: a loss was not finite, or nothing changed.
    """
    config = config or ReactivationConfig()
    if len(poisoned) < config.samples:
        raise BadInput(
            f"{len(poisoned)} poisoned samples",
            f"re-activation after {config.samples} needs as many",
            "pass more records, or test fewer samples",
        )
    rows = list(poisoned[: config.samples])
    batches = draws(len(rows), config.rows, rng)
    with applied(suspect.model, delta), editing(suspect.model, config.weights) as loan:
        losses = (
            partial(_loss, suspect, [rows[i] for i in next(batches)]) for _ in range(config.steps)
        )
        descend(loan, optimiser(loan, config.rate), losses, config.clip)
        change = loan.delta()
    if delta is None:
        return change
    # Weights that only the defence changed stay as the defence left them.
    return Delta(
        kind="full" if "full" in (delta.kind, change.kind) else "adapter",
        tensors={**delta.tensors, **change.tensors},
        norm=change.norm,
        relative=change.relative,
    )


def _loss(suspect: Any, rows: Sequence[Conversation]) -> Tensor:
    return cross_entropy(suspect.model, batch_of(suspect, rows))
