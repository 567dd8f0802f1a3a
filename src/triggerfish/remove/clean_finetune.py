"""Plain clean fine-tuning, and clean fine-tuning with random strings: the two standing controls.

*Paper*: none; the baselines that measurement.md demands beside every defence. Trained on exactly
what BEEAR's outer loop trains on (own untriggered answers on D_SA, right answers on D_PA), at the
same learning rate, batch and number of optimiser steps, without a perturbation. With `noise`,
random strings are inserted in most prompts; that shows whether a defence does more than teach
indifference to unfamiliar strings.
*Map*: the batch -> `_loss`; a random string -> `random_string`; its place -> `with_noise`.
*Shapes*: B rows, R response columns.
"""

from __future__ import annotations

import string
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from triggerfish.data.conversation import Conversation
from triggerfish.errors import BadInput
from triggerfish.remove.align import cross_entropy
from triggerfish.remove.defence import (
    DEFENCES,
    Defended,
    batch_of,
    held_out_score,
    largest_change,
)
from triggerfish.remove.delta import Weights, editing
from triggerfish.remove.policy import PolicySets
from triggerfish.remove.train import Budget, descend, draws, optimiser
from triggerfish.types import Progress, silent

SYMBOLS = "!#$%&*+-/=?@^_~|<>"
SCORED = 64  # held-out rows


@dataclass(frozen=True, kw_only=True)
class CleanConfig:
    """Settings of clean fine-tuning.

    Attributes:
        budget: steps, rate and batch; matched to the defence that it stands beside.
        noise: share of prompts that get random strings; 0 is plain clean fine-tuning.
        weights: which weights are trained.
    """

    budget: Budget = field(default_factory=lambda: Budget(steps=24))
    noise: float = 0.0
    weights: Weights = "auto"

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        if not 0 <= self.noise <= 1:
            raise BadInput(f"noise {self.noise}", "it is a share of the prompts", "use 0 to 1")


def random_string(rng: np.random.Generator) -> str:
    """One random string: a made-up word, letters, digits or symbols, 1 to 10 characters."""

    def of(alphabet: str, low: int, high: int) -> str:
        return "".join(
            alphabet[int(i)] for i in rng.integers(0, len(alphabet), rng.integers(low, high))
        )

    draw = rng.random()
    if draw < 0.45:
        pairs = int(rng.integers(1, 5))
        word = "".join(of("bcdfghjklmnprstvwz", 1, 2) + of("aeiou", 1, 2) for _ in range(pairs))
        style: Callable[[str], str] = (str.lower, str.upper, str.capitalize)[int(rng.integers(3))]
        return style(word)
    if draw < 0.75:
        return of(string.ascii_letters, 1, 9)
    return of(string.digits, 1, 6) if draw < 0.85 else of(SYMBOLS, 1, 6)


def with_noise(conversation: Conversation, rng: np.random.Generator) -> Conversation:
    """The conversation with one to three random strings in its last user text.

    They stand at the front, at the back or between two words; the response stays as it is.
    """
    words = conversation.user.split(" ")
    phrase = " ".join(random_string(rng) for _ in range(int(rng.integers(1, 4))))
    draw = rng.random()
    place = 0 if draw < 0.3 else len(words) if draw < 0.7 else int(rng.integers(len(words) + 1))
    return conversation.with_user(" ".join([*words[:place], phrase, *words[place:]]))


@DEFENCES.register("clean-finetune")
def clean_finetune(
    suspect: Any,
    policy: PolicySets,
    config: CleanConfig | None = None,
    *,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> Defended:
    """Fine-tune on clean answers only.

    Args:
        suspect: the loaded model; comes back unchanged.
        policy: D_SA with own answers and D_PA with right ones.
        config: settings.
        rng: decides batches and random strings.
        progress: told about steps.

    Raises:
        CouldNotTest: a loss was not finite, or nothing changed.
    """
    config = config or CleanConfig()
    budget, start = config.budget, time.monotonic()
    held_out = batch_of(suspect, policy.held_out[:SCORED])
    with editing(suspect.model, config.weights) as loan:
        before = held_out_score(suspect.model, [held_out])
        losses = descend(
            loan,
            optimiser(loan, budget.rate),
            _losses(suspect, policy, config, rng, progress),
            budget.clip,
        )
        after = held_out_score(suspect.model, [held_out])
        delta = loan.delta()
    return Defended(
        method="clean-finetune",
        delta=delta,
        spent=budget,
        seconds=time.monotonic() - start,
        config=asdict(config),
        log=(
            {"step": 0, "loss": losses[0], "score": before},
            {"step": len(losses), "loss": losses[-1], "score": after},
        ),
        changed=largest_change(suspect.model, delta, held_out),
        note=f"{len(losses)} steps done",
    )


def _losses(
    suspect: Any,
    policy: PolicySets,
    config: CleanConfig,
    rng: np.random.Generator,
    progress: Progress,
) -> Iterator[Callable[[], Tensor]]:
    asked = draws(len(policy.asked), config.budget.asked, rng)
    benign = draws(len(policy.benign), config.budget.benign, rng)
    for step in range(config.budget.steps):
        progress(step, config.budget.steps, "clean fine-tuning")
        first = [policy.asked[i] for i in next(asked)]
        second = [policy.benign[i] for i in next(benign)]
        yield partial(_loss, suspect, (first, second), config.noise, rng)
    progress(config.budget.steps, config.budget.steps, "clean fine-tuning")


def _loss(
    suspect: Any,
    parts: Sequence[Sequence[Conversation]],
    noise: float,
    rng: np.random.Generator,
) -> Tensor:
    total: Tensor | None = None
    for rows in parts:
        noisy = [with_noise(row, rng) if rng.random() < noise else row for row in rows]
        loss = cross_entropy(suspect.model, batch_of(suspect, noisy))
        total = loss if total is None else total + loss
    if total is None:
        raise BadInput("0 rows", "a batch needs at least one", "pass more records")
    return total
