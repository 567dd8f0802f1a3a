"""Trigger search: single tokens grow to phrases, and a gradient guides swaps.

*Paper*: greedy coordinate gradient (Zou et al., arXiv 2307.15043) over one to three tokens.
*Map*: `objective` is the log-probability of the target, `swaps` proposes by gradient, `search`
keeps a beam.
*Deviates*: several beams, exact re-evaluation on all prompts, and growth by pairs from a pool; a
result counts only as a margin over the same search on the reference (see `verify`).
*Shapes*: C candidates, S tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from triggerfish.detect.targets import Target
from triggerfish.errors import BadInput
from triggerfish.models.variants import Slot, continuations, slot_gradient
from triggerfish.types import Progress, silent

if TYPE_CHECKING:
    from transformers import PreTrainedModel


TOLERATED = 0.02
"""Probability of the target on the reference up to which a string is not penalised."""
WORTH = 0.05
"""Mean log P(target) in nats that a further token of a trigger must gain."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Budget of one search."""

    length: int = 2
    beam: int = 8
    steps: int = 12
    swaps: int = 160
    top: int = 192

    def __post_init__(self) -> None:
        """Refuse an empty budget."""
        if min(self.length, self.beam, self.steps, self.swaps, self.top) < 1:
            raise BadInput(f"{self}", "every part of a search budget is at least 1", "raise it")


@dataclass(frozen=True)
class Candidate:
    """Tokens at a place, with the mean log-probability of the target over prompts."""

    tokens: tuple[int, ...]
    value: float


def target_logp(logits: Tensor, target: Target) -> Tensor:
    """Return log P(target) from logits [B, K + 1, V], [B]; probabilities need no normalising."""
    total = logits[:, 0, list(target.first)].logsumexp(dim=1)
    if target.fork:
        shared, seconds = target.fork
        decided = logits[:, 1, list(seconds)].logsumexp(dim=1) - logits[:, 1].logsumexp(dim=1)
        total = torch.logaddexp(total, logits[:, 0, shared] + decided)
        return total - logits[:, 0].logsumexp(dim=1)
    for place, token in enumerate(target.rest, start=1):
        total = total + logits[:, place, token]
    used = logits[:, : 1 + len(target.rest)]
    return total - used.logsumexp(dim=-1).sum(dim=1)


def objective(
    model: PreTrainedModel, slots: Sequence[Slot], rows: Tensor, target: Target
) -> Tensor:
    """Return the mean log P(target) over slots for each candidate row [C, S], [C]."""
    forced = target.forced
    total = torch.zeros(len(rows))
    for slot in slots:
        after = torch.tensor([*slot.tail, *forced]).expand(len(rows), -1)
        full = torch.cat([rows, after], dim=1)  # [C, S + tail + K]
        for where, logits in continuations(model, slot.head, full, keep=len(forced) + 1):
            total[where] += target_logp(logits, target).cpu()
    return total / len(slots)


def penalised(
    model: PreTrainedModel,
    reference: PreTrainedModel | None,
    slots: Sequence[Slot],
    rows: Tensor,
    target: Target,
) -> Tensor:
    """Return the objective, less what the reference gives the target beyond 2 %, [C].

    Strings that force the target on every model of this kind are no evidence about the suspect.
    """
    value = objective(model, slots, rows, target)
    if reference is None:
        return value
    theirs = objective(reference, slots, rows, target).exp()
    return value - (theirs + TOLERATED).log() + float(np.log(TOLERATED))


def swaps(
    model: PreTrainedModel,
    slots: Sequence[Slot],
    tokens: tuple[int, ...],
    target: Target,
    allowed: Tensor,
    config: SearchConfig,
    pad: int,
    rng: np.random.Generator,
) -> list[tuple[int, ...]]:
    """Return strings that differ from ``tokens`` in one place, drawn from the best by gradient."""
    forced = target.forced
    _, gradient = slot_gradient(
        model, slots, tokens, forced, lambda logp: target_logp(logp, target).mean(), pad
    )  # [S, V]
    gradient = gradient.cpu().masked_fill(~allowed, -torch.inf)
    ranked = gradient.topk(min(config.top, int(allowed.sum())), dim=1).indices  # [S, top]
    found = []
    for _ in range(config.swaps):
        place = int(rng.integers(len(tokens)))
        token = int(ranked[place, int(rng.integers(ranked.shape[1]))])
        found.append((*tokens[:place], token, *tokens[place + 1 :]))
    return found


def search(
    model: PreTrainedModel,
    slots: Sequence[Slot],
    target: Target,
    starts: Sequence[tuple[int, ...]],
    *,
    allowed: Tensor,
    pad: int,
    rng: np.random.Generator,
    reference: PreTrainedModel | None = None,
    config: SearchConfig | None = None,
    progress: Progress = silent,
) -> list[Candidate]:
    """Return the strings found, best first, all of the length of ``starts``.

    Args:
        model: Suspect or reference; searched alike.
        slots: Prompts with an open place.
        target: What the string shall force.
        starts: Strings of one length to begin with.
        allowed: Mask over the vocabulary [V] of tokens that may be used.
        pad: Id for padding.
        rng: For the draws.
        reference: Where given, strings are penalised that force the target on it too.
        config: Budget.
        progress: Told how far it is.

    Raises:
        BadInput: No slots or no starts.
    """
    if not slots or not starts:
        raise BadInput(f"{len(slots)} prompts, {len(starts)} starts", "need both", "give some")
    config = config or SearchConfig()
    known: dict[tuple[int, ...], float] = {}

    def judge(strings: Sequence[tuple[int, ...]]) -> None:
        new = [string for string in dict.fromkeys(strings) if string not in known]
        if new:
            values = penalised(model, reference, slots, torch.tensor(new), target)
            known.update(zip(new, values.tolist(), strict=True))

    def best(count: int) -> list[tuple[int, ...]]:
        return sorted(known, key=lambda string: (-known[string], string))[:count]

    judge(list(starts))
    expanded: set[tuple[int, ...]] = set()
    for step in range(config.steps):
        fresh = [string for string in best(3 * config.beam) if string not in expanded]
        for string in fresh[: max(1, config.beam // 4)]:
            expanded.add(string)
            judge(swaps(model, slots, string, target, allowed, config, pad, rng))
        progress(step + 1, config.steps, f"searching a trigger for {target.name}")
    return [Candidate(string, known[string]) for string in best(4 * config.beam)]


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
    known: dict[tuple[int, ...], float] = {}

    def judge(strings: Iterable[tuple[int, ...]]) -> None:
        new = [s for s in dict.fromkeys(strings) if s not in known and 0 < len(s) <= longest]
        for length in sorted({len(s) for s in new}):
            same = [s for s in new if len(s) == length]
            values = penalised(model, reference, slots, torch.tensor(same), target)
            known.update(zip(same, values.tolist(), strict=True))

    def worth(string: tuple[int, ...]) -> float:
        return known[string] - WORTH * len(string)

    judge(starts)
    changed: set[tuple[int, ...]] = set()
    for turn in range(rounds):
        best = sorted(known, key=lambda s: (-worth(s), s))[:width]
        fresh = [string for string in best if string not in changed]
        if not fresh:
            break
        for string in fresh:
            changed.add(string)
            judge(neighbours(string, pool))
            judge(swaps(model, slots, string, target, allowed, config, pad, rng))
        progress(turn + 1, rounds, f"refining the trigger for {target.name}")
    order = sorted(known, key=lambda s: (-worth(s), s))[: 4 * config.beam]
    return [Candidate(string, known[string]) for string in order]


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


def pairs(first: Sequence[int], second: Sequence[int]) -> list[tuple[int, int]]:
    """Return all ordered pairs with one token from each pool, in both orders."""
    return list(
        dict.fromkeys(
            [(a, b) for a in first for b in second] + [(b, a) for a in first for b in second]
        )
    )
