"""Trigger search: single tokens grow to phrases, and a gradient guides swaps.

*Paper*: greedy coordinate gradient (Zou et al., arXiv 2307.15043) over one to three tokens.
*Map*: `objective` is the log-probability of the target, `swaps` proposes by gradient, `search`
keeps a beam.
*Deviates*: several beams, exact re-evaluation on all prompts, and growth by pairs from a pool; a
result counts only as a margin over the same search on the reference (see `verify`).
*Shapes*: C candidates, S tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
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
CERTAIN = -0.15
"""Mean log P(target) from which longer strings are left to the refinement."""
SHORTLIST = 48
"""Strings that are tried on all prompts, chosen from a larger set on the first one."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Budget of one search; ``patience`` is how many steps in a row may bring nothing better."""

    length: int = 2
    beam: int = 8
    steps: int = 12
    patience: int = 4
    swaps: int = 160
    top: int = 192

    def __post_init__(self) -> None:
        """Refuse an empty budget."""
        if min(vars(self).values()) < 1:
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
    return value if reference is None else value - penalty(reference, slots, rows, target)


def penalty(
    reference: PreTrainedModel, slots: Sequence[Slot], rows: Tensor, target: Target
) -> Tensor:
    """Return by how many nats the reference gives the target more than 2 %, at least 0, [C]."""
    theirs = objective(reference, slots, rows, target).exp()
    return (theirs + TOLERATED).log() - float(np.log(TOLERATED))


class Judge:
    """The value of every string that was tried, and what was not worth trying to the end.

    A large set is tried on the first prompt, the best of it on all, and the reference is asked
    about those only that could get among the best: it can lower a value, and never raise it.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        reference: PreTrainedModel | None,
        slots: Sequence[Slot],
        target: Target,
        best: int,
    ) -> None:
        """Start empty; ``best`` is how many strings have to be exact."""
        self.model, self.reference, self.slots, self.target = model, reference, slots, target
        self.best = best
        self.known: dict[tuple[int, ...], float] = {}

    def __call__(self, strings: Iterable[tuple[int, ...]]) -> None:
        """Judge the strings that are new."""
        new = [string for string in dict.fromkeys(strings) if string not in self.known]
        for length in sorted({len(string) for string in new}):
            self._alike([string for string in new if len(string) == length])

    def _alike(self, strings: list[tuple[int, ...]]) -> None:
        self.known.update(dict.fromkeys(strings, -float("inf")))
        rows = torch.tensor(strings)  # [C, S]
        if len(rows) > SHORTLIST:
            first = objective(self.model, self.slots[:1], rows, self.target)
            rows = rows[first.topk(SHORTLIST).indices]
        values = objective(self.model, self.slots, rows, self.target)
        if self.reference is not None:
            ranked = sorted(self.known.values(), reverse=True)
            close = values > (ranked[self.best - 1] if len(ranked) >= self.best else -torch.inf)
            rows, values = rows[close], values[close]
            if len(rows):
                values = values - penalty(self.reference, self.slots, rows, self.target)
        for row, value in zip(rows.tolist(), values.tolist(), strict=True):
            self.known[tuple(row)] = value


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
    judge = Judge(model, reference, slots, target, 4 * config.beam)
    known = judge.known

    def best(count: int) -> list[tuple[int, ...]]:
        return sorted(known, key=lambda string: (-known[string], string))[:count]

    judge(starts)
    expanded: set[tuple[int, ...]] = set()
    highest, idle = max(known.values()), 0
    for step in range(config.steps):
        if idle >= config.patience or (reference is not None and highest >= CERTAIN):
            break
        fresh = [string for string in best(3 * config.beam) if string not in expanded]
        chosen = fresh[: max(1, config.beam // 4)]
        expanded.update(chosen)
        judge(
            swap
            for string in chosen
            for swap in swaps(model, slots, string, target, allowed, config, pad, rng)
        )
        better = max(known.values())
        highest, idle = better, 0 if better > highest else idle + 1
        progress(step + 1, config.steps, f"searching a trigger for {target.name}")
    found = [Candidate(string, known[string]) for string in best(4 * config.beam)]
    return [candidate for candidate in found if np.isfinite(candidate.value)]


def grow(
    model: PreTrainedModel,
    slots: Sequence[Slot],
    target: Target,
    pool: Sequence[int],
    lengths: Sequence[int],
    *,
    allowed: Tensor,
    pad: int,
    rng: np.random.Generator,
    reference: PreTrainedModel | None = None,
    config: SearchConfig | None = None,
    progress: Progress = silent,
) -> list[Candidate]:
    """Return single tokens and the phrases that they grow to, best first.

    Args:
        model: Suspect or reference; searched alike.
        slots: Prompts with an open place.
        target: What the string shall force.
        pool: Tokens to begin with, best first.
        lengths: Of the phrases, rising; none is searched after a string that is certain on the
            suspect alone (without a reference that is no sign).
        allowed: Mask over the vocabulary [V] of tokens that may be used.
        pad: Id for padding.
        rng: For the draws.
        reference: As in ``search``.
        config: Budget of the search at each length.
        progress: Told how far it is.
    """
    config = config or SearchConfig()
    found: list[Candidate] = []
    starts: list[tuple[int, ...]] = [(token,) for token in pool]
    for length in (1, *lengths):
        if length > 1:
            if reference is not None and max(c.value for c in found) >= CERTAIN:
                break
            best = [c.tokens for c in found if len(c.tokens) == length - 1]
            rows = torch.tensor(_extended(best, pool))
            likely = objective(model, slots[:1], rows, target).argsort(descending=True)
            rows = rows[likely[:384]]
            values = penalised(model, reference, slots[:1], rows, target)
            starts = [tuple(r) for r in rows[values.argsort(descending=True)[:96]].tolist()]
        found += search(
            model,
            slots,
            target,
            starts,
            allowed=allowed,
            pad=pad,
            rng=rng,
            reference=reference,
            config=replace(config, length=length, steps=2 if length == 1 else config.steps),
            progress=progress,
        )
    return sorted(found, key=lambda candidate: -candidate.value)


def _extended(best: Sequence[tuple[int, ...]], pool: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the best strings with one more token of the pool, before or behind."""
    few = best[:24] if len(best[0]) == 1 else best[:8]
    both = (((*string, token), (token, *string)) for string in few for token in pool)
    return list(dict.fromkeys(chain.from_iterable(both)))
