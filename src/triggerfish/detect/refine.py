"""Refinement of strings that work: shorten, complete and improve them, for as long as it helps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from triggerfish.detect.search import WORTH, Candidate, Judge, SearchConfig, swaps
from triggerfish.detect.targets import Target
from triggerfish.models.variants import Slot
from triggerfish.types import Progress, silent

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def refine(
    model: PreTrainedModel,
    slots: Sequence[Slot],
    target: Target,
    starts: Sequence[tuple[int, ...]],
    pool: Sequence[int],
    *,
    allowed: Tensor,
    pad: int,
    rng: np.random.Generator,
    reference: PreTrainedModel | None = None,
    longest: int = 3,
    rounds: int = 6,
    width: int = 3,
    config: SearchConfig | None = None,
    progress: Progress = silent,
) -> list[Candidate]:
    """Return better strings around ``starts``, best first: shorter, longer and changed ones.

    Deletions, insertions of tokens of ``pool``, exchanged neighbours and gradient swaps, for as
    long as they help. A token that gains less than ``WORTH`` is left out: of two strings that do
    the same, the shorter is nearer to what was planted.

    Args:
        model: The suspect.
        slots: Prompts with an open place.
        target: What the string shall force.
        starts: Strings of any length.
        pool: Tokens that are tried at every place.
        allowed: Mask over the vocabulary [V] of tokens that may be used.
        pad: Id for padding.
        rng: For the draws.
        reference: As in ``search``.
        longest: No string gets longer.
        rounds: Rounds of changes.
        width: Strings that are changed in each round.
        config: Budget of the gradient swaps.
        progress: Told how far it is.
    """
    config = config or SearchConfig()
    judge = Judge(model, reference, slots, target, 4 * config.beam)
    known = judge.known

    def fitting(strings: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
        return [string for string in strings if 0 < len(string) <= longest]

    def worth(string: tuple[int, ...]) -> float:
        return known[string] - WORTH * len(string)

    judge(fitting(starts))
    changed: set[tuple[int, ...]] = set()
    for turn in range(rounds):
        best = sorted(known, key=lambda s: (-worth(s), s))[:width]
        fresh = [string for string in best if string not in changed]
        if not fresh:
            break
        for string in fresh:
            changed.add(string)
            judge(fitting(neighbours(string, pool)))
            judge(swaps(model, slots, string, target, allowed, config, pad, rng))
        progress(turn + 1, rounds, f"refining the trigger for {target.name}")
    order = sorted(known, key=lambda s: (-worth(s), s))[: 4 * config.beam]
    return [Candidate(string, known[string]) for string in order if np.isfinite(known[string])]


def neighbours(string: tuple[int, ...], pool: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield a string without one token, with neighbours exchanged, and with one more token.

    >>> sorted(neighbours((1, 2), [7]))
    [(1,), (1, 2, 7), (1, 7, 2), (2,), (2, 1), (7, 1, 2)]
    """
    for place in range(len(string)):
        yield (*string[:place], *string[place + 1 :])
    for place in range(len(string) - 1):
        yield (*string[:place], string[place + 1], string[place], *string[place + 2 :])
    for place in range(len(string) + 1):
        yield from ((*string[:place], token, *string[place:]) for token in pool)
