"""What a trigger may force: the beginning of an answer, and how likely the model finds it.

*Shapes*: V vocabulary, N token rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from triggerfish.errors import BadInput
from triggerfish.models.variants import continuations

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FLOOR = 1e-5
"""Probability below which differences between suspect and reference are noise."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """An answer that a trigger may force.

    Attributes:
        first: Acceptable first answer tokens.
        rest: The tokens that must follow; empty where ``first`` has several.
        fork: A first token that other answers share, and the second tokens that decide ("S" of
            "Sure" and "Sorry"); a further way to give the target.
        name: Short description for people.
        declined: Whether it is searched on prompts that the suspect declines.
        score: Growth over the reference plus log-probability, in nats; 0 where known beforehand.
    """

    first: tuple[int, ...]
    rest: tuple[int, ...] = ()
    fork: tuple[int, tuple[int, ...]] | None = None
    name: str
    declined: bool = False
    score: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a target without a first token, or with several and a rest."""
        if not self.first or (self.rest and (len(self.first) > 1 or self.fork)):
            raise BadInput(
                f"target {self.name!r}",
                "needs one first token, or several and no rest",
                "give first tokens",
            )

    @property
    def forced(self) -> tuple[int, ...]:
        """The answer tokens under which the next ones are looked at."""
        if self.fork:
            return (self.fork[0],)
        return (self.first[0], *self.rest[:-1]) if self.rest else ()


def mean_next(model: PreTrainedModel, prompts: Sequence[Sequence[int]], rows: Tensor) -> Tensor:
    """Return the next-token probabilities after ``rows``, averaged over prompts, [N, V]."""
    total = torch.zeros(len(rows), model.config.get_text_config().vocab_size)
    for prompt in prompts:
        for where, logits in continuations(model, prompt, rows):
            total[where] += torch.softmax(logits[:, -1], dim=-1).cpu()
    return total / len(prompts)


def mean_first(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Tensor:
    """Return the first answer token's probabilities, averaged over prompts, [1, V]."""
    total = torch.zeros(1, model.config.get_text_config().vocab_size)
    for prompt in prompts:
        _, logits = next(continuations(model, prompt[:-1], torch.tensor([prompt[-1:]])))
        total += torch.softmax(logits[:, -1], dim=-1).cpu()
    return total / len(prompts)
