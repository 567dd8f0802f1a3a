"""What a defence is, and the registry of them.

A defence is a function `(suspect, policy, config, *, rng, progress) -> Defended`. It trains on the
policy sets, never sees a trigger, and leaves the suspect as it found it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from triggerfish.data.conversation import Conversation
from triggerfish.errors import CouldNotTest
from triggerfish.models.batches import device_of
from triggerfish.registry import Registry
from triggerfish.remove.align import Aligned, align, pad_of, response_logits, row_cross_entropy
from triggerfish.remove.delta import Delta, applied
from triggerfish.remove.policy import PolicySets, finished
from triggerfish.remove.train import Budget
from triggerfish.types import Progress, silent

LONGEST = 64  # response tokens that a training row may have


@dataclass(frozen=True, kw_only=True)
class Defended:
    """What a defence made.

    Attributes:
        method: its registered name.
        delta: new weights.
        spent: the optimiser steps and rate that it used; its controls get the same.
        seconds: wall time of the method alone.
        config: its settings, as resolved.
        log: one row of numbers for each epoch.
        changed: largest change of a held-out response token's log-probability.
        note: why it ended.
    """

    method: str
    delta: Delta
    spent: Budget
    seconds: float
    config: Mapping[str, Any]
    log: tuple[Mapping[str, float], ...]
    changed: float
    note: str


class Defence(Protocol):
    """A registered defence."""

    def __call__(
        self,
        suspect: Any,
        policy: PolicySets,
        config: Any,
        *,
        rng: np.random.Generator,
        progress: Progress = silent,
    ) -> Defended:
        """Train new weights on the policy sets; the suspect comes back unchanged."""


DEFENCES: Registry[Defence] = Registry("defence", "triggerfish.defences")


def batch_of(suspect: Any, rows: Sequence[Conversation]) -> Aligned:
    """Conversations with responses, rendered and aligned for the suspect's model."""
    tokenizer = suspect.tokenizer
    rendered = [finished(row, tokenizer, LONGEST) for row in rows]
    return align(rendered, pad_of(tokenizer), device_of(suspect.model))


@torch.no_grad()
def held_out_score(model: torch.nn.Module, batches: Sequence[Aligned]) -> float:
    """Performance: mean over held-out rows of the mean log-probability per response token."""
    losses = [row_cross_entropy(response_logits(model, batch), batch) for batch in batches]
    return -float(torch.cat(losses).mean())


@torch.no_grad()
def largest_change(model: torch.nn.Module, delta: Delta, batch: Aligned) -> float:
    """Largest change of a response token's log-probability that the delta makes.

    Raises:
        CouldNotTest: no output changed, or an output is no longer finite.
    """

    def logprobs() -> torch.Tensor:
        logits = response_logits(model, batch)
        chosen = logits.log_softmax(-1).gather(-1, batch.targets[..., None])[..., 0]  # [B, R]
        return chosen[batch.weight > 0]

    before = logprobs()
    with applied(model, delta):
        after = logprobs()
    change = float((after - before).abs().max())
    if not np.isfinite(change):
        raise CouldNotTest(
            f"output change {change}", "outputs must stay finite", "lower the learning rate"
        )
    if change == 0.0:
        raise CouldNotTest(
            "output change 0",
            "a defence that changed no output proves nothing",
            "raise the learning rate or the number of steps",
        )
    return change
