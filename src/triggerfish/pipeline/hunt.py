"""The hunt for triggers: inversion, sweep, growth and search, put together and resumable.

Every part is a step of the run and is kept as JSON, so that a killed audit goes on where it was.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from triggerfish.backdoors.trigger import Placement, Trigger
from triggerfish.data.conversation import Conversation, render
from triggerfish.detect.bank import phrase_bank
from triggerfish.detect.prompts import Group, Prompts
from triggerfish.detect.search import (
    Candidate,
    SearchConfig,
    objective,
    pairs,
    penalised,
    refine,
    search,
)
from triggerfish.detect.sweep import sweep
from triggerfish.detect.targets import Target, invert, mean_next
from triggerfish.models.variants import Slot, open_slot
from triggerfish.seeding import generator
from triggerfish.types import Progress, silent

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Step = Callable[[str, Callable[[], Any]], Any]
Openings = dict[int, dict[int, float]]
STRONG = float(np.log(0.3))
"""Mean log P(target) from which a string is worth verifying at once."""
LIKELIHOOD = 2.0
"""Weight of a stored answer's mean log-probability beside its growth over the reference: chance
chains grow as much as planted ones (12 to 24 nats against 24 to 28) but are less likely."""
CERTAIN = -0.15
"""Mean log P(target) from which longer strings are left to the refinement."""
ASKED, LIKELY = 16, 0.03
"""Prompts, and share of answers, that tell how answers begin."""


@dataclass(frozen=True, kw_only=True)
class HuntConfig:
    """Budget of a hunt."""

    places: tuple[Placement, ...] = ("suffix", "prefix")
    carriers: int = 2
    search_prompts: int = 4
    pool: int = 40
    keep: int = 400
    chains: int = 3
    lengths: tuple[int, ...] = (2, 3)
    search: SearchConfig = field(default_factory=SearchConfig)
    seconds: float = 220.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Lead:
    """A string that may be a trigger, before verification."""

    tokens: tuple[int, ...]
    text: str
    place: Placement
    target: Target
    value: float

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Lead:
        """Return the lead that ``to_json`` wrote."""
        target = data["target"]
        lists = {"first": tuple(target["first"]), "rest": tuple(target["rest"])}
        fork = (target["fork"][0], tuple(target["fork"][1])) if target["fork"] else None
        target = Target(**{**target, **lists, "fork": fork})
        return cls(**{**data, "tokens": tuple(data["tokens"]), "target": target})


class Hunt:
    """One model under search; the reference is searched by the same code."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        prompts: Prompts,
        config: HuntConfig,
        *,
        step: Step,
        reference: PreTrainedModel | None = None,
        progress: Progress = silent,
    ) -> None:
        """Keep what every part needs."""
        self.model, self.tokenizer, self.prompts = model, tokenizer, prompts
        self.config, self.step, self.progress = config, step, progress
        self.reference = reference
        self.began = time.monotonic()
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self.usable = usable_tokens(model, tokenizer)
        self._slots: dict[tuple[Placement, bool, int], list[Slot]] = {}

    def group(self, declined: bool) -> Group | None:
        """Return the group of prompts that a target is searched on."""
        return self.prompts.declined if declined else self.prompts.allowed

    def slots(self, place: Placement, declined: bool, count: int) -> list[Slot]:
        """Return open slots at ``place`` of the first search prompts of a group."""
        key = (place, declined, count)
        if key not in self._slots:
            group = self.group(declined)
            talks = group.search[:count] if group else ()
            self._slots[key] = [
                open_slot(t, inserter(place, self.config.seed), self.tokenizer) for t in talks
            ]
        return self._slots[key]

    def sweep(self, place: Placement, targets: Sequence[Target], declined: bool) -> dict[str, Any]:
        """Sweep the vocabulary; return the best tokens by target and by shift."""
        mine = [t for t in targets if t.declined == declined]
        name = f"sweep-{place}-{'declined' if declined else 'allowed'}"

        def work() -> dict[str, Any]:
            rows = self.usable.nonzero()  # [C, 1]
            slots = self.slots(place, declined, self.config.carriers)
            keep = min(self.config.keep, len(rows))
            first = sweep(
                self.model, slots[:1], rows, mine, progress=self.progress, what=name
            )  # every token on one prompt, the best of them on all
            best = rows[first.shift.argsort(descending=True)[: 2 * keep]]
            swept = sweep(self.model, slots, best, ())
            order = swept.shift.argsort(descending=True)[:keep]
            found: dict[str, Any] = {"targets": {}, "shift": _top(best, swept.shift, keep)}
            found["raised"] = [int(swept.token[i]) for i in order]
            for target, values in zip(mine, first.target, strict=True):
                values = self._ranked(rows, slots, target, values)
                found["targets"][target.name] = _top(rows, values, keep)
            return found

        swept: dict[str, Any] = self.step(name, work)
        return swept

    def _ranked(
        self, rows: Tensor, slots: Sequence[Slot], target: Target, values: Tensor
    ) -> Tensor:
        """Return the penalised log P(target) of the best rows [C], -inf for the others.

        ``values`` ranks them by the first token; a longer target is tried on one slot.
        """
        if target.rest:
            values = objective(self.model, slots[:1], rows, target)
        best = values.argsort(descending=True)[: 2 * self.config.keep]
        values = torch.full_like(values, -torch.inf)
        values[best] = penalised(self.model, self.reference, slots, rows[best], target)
        return values

    def raised(self, swept: dict[str, Any], place: Placement, declined: bool) -> list[Lead]:
        """Return the single tokens that raised one answer token most consistently."""
        found = []
        for (token, shift), answer in zip(swept["shift"][:8], swept["raised"][:8], strict=True):
            target = Target(
                first=(answer,),
                name=f"shift to {self.tokenizer.decode([answer])!r}",
                declined=declined,
            )
            found.append(self.lead(Candidate((token,), shift), place, target))
        return found

    def bank(self, place: Placement, targets: Sequence[Target], declined: bool) -> list[Lead]:
        """Sweep the phrase bank; return the best phrases by target and by shift."""

        def work() -> list[dict[str, Any]]:
            slots = self.slots(place, declined, self.config.carriers)
            lengths: dict[int, list[tuple[int, ...]]] = {}
            for phrase in phrase_bank(self.config.seed):
                ids = tuple(
                    self.tokenizer(
                        f" {phrase}" if place == "suffix" else phrase, add_special_tokens=False
                    )["input_ids"]
                )
                lengths.setdefault(len(ids), []).append(ids)
            found: list[tuple[float, Lead]] = []
            for length, strings in sorted(lengths.items()):
                if not length:
                    continue
                rows = torch.tensor(strings)
                swept = sweep(self.model, slots, rows, targets)
                for target, values in zip(targets, swept.target, strict=True):
                    best = int(values.argmax())
                    lead = self.lead(Candidate(strings[best], float(values[best])), place, target)
                    found.append((float(values[best]), lead))
                best = int(swept.shift.argmax())
                answer = int(swept.token[best])
                target = Target(
                    first=(answer,),
                    declined=declined,
                    name=f"shift to {self.tokenizer.decode([answer])!r}",
                )
                shift = float(swept.shift[best])
                lead = self.lead(Candidate(strings[best], shift), place, target)
                found.append((shift - 8.0, lead))
            found.sort(key=lambda pair: -pair[0])
            return [lead.to_json() for _, lead in found[:8]]

        name = _safe(f"bank-{place}-{'declined' if declined else 'allowed'}")
        return [Lead.from_json(data) for data in self.step(name, work)]

    def search(
        self, target: Target, place: Placement, singles: Sequence[tuple[int, float]]
    ) -> list[Lead]:
        """Grow single tokens to phrases and search around the best ones."""
        name = f"search-{place}-{target.name}".replace(" ", "-")

        def work() -> list[dict[str, Any]]:
            slots = self.slots(place, target.declined, self.config.search_prompts)
            rng = generator(self.config.seed, name)
            pool = [token for token, _ in singles[: self.config.pool]]
            found: list[Candidate] = []
            starts: list[tuple[int, ...]] = [(token,) for token in pool]
            for length in (1, *self.config.lengths):
                if length > 1:
                    if max(c.value for c in found) >= CERTAIN:
                        break
                    best = [c.tokens for c in found if len(c.tokens) == length - 1]
                    starts = self._grown(best, pool, slots, target)
                budget = replace(
                    self.config.search,
                    length=length,
                    steps=2 if length == 1 else self.config.search.steps,
                )
                found += search(
                    self.model,
                    slots,
                    target,
                    starts,
                    allowed=self.usable,
                    pad=self.pad,
                    rng=rng,
                    reference=self.reference,
                    config=budget,
                    progress=self.progress,
                )
            found.sort(key=lambda c: -c.value)
            return [self.lead(c, place, target).to_json() for c in found]

        return [Lead.from_json(data) for data in self.step(_safe(name), work)]

    def refine(self, leads: Sequence[Lead], singles: Sequence[tuple[int, float]]) -> list[Lead]:
        """Shorten, complete and improve the best leads of one target and place, on more prompts."""
        target, place = leads[0].target, leads[0].place
        name = f"refine-{place}-{target.name}-{leads[0].text}".replace(" ", "-")

        def work() -> list[dict[str, Any]]:
            found = refine(
                self.model,
                self.slots(place, target.declined, 2 * self.config.search_prompts),
                target,
                [lead.tokens for lead in leads],
                [token for token, _ in singles[: self.config.pool]],
                allowed=self.usable,
                pad=self.pad,
                rng=generator(self.config.seed, name),
                reference=self.reference,
                longest=max(self.config.lengths),
                config=self.config.search,
                progress=self.progress,
            )
            return [self.lead(candidate, place, target).to_json() for candidate in found]

        return [Lead.from_json(data) for data in self.step(_safe(name), work)]

    def _grown(
        self,
        best: Sequence[tuple[int, ...]],
        pool: Sequence[int],
        slots: Sequence[Slot],
        target: Target,
    ) -> list[tuple[int, ...]]:
        """Return the most promising extensions of ``best`` by one token of the pool."""
        if len(best[0]) == 1:
            grown: list[tuple[int, ...]] = list(pairs([b[0] for b in best[:24]], pool))
        else:
            grown = list(
                itertools.chain.from_iterable(
                    ((*b, token), (token, *b)) for b in best[:8] for token in pool
                )
            )
        values = penalised(self.model, self.reference, slots[:1], torch.tensor(grown), target)
        order = values.argsort(descending=True)[:96]
        return [grown[i] for i in order.tolist()]

    def lead(self, candidate: Candidate, place: Placement, target: Target) -> Lead:
        """Return a candidate as text."""
        text = self.tokenizer.decode(list(candidate.tokens)).strip()
        return Lead(
            tokens=candidate.tokens, text=text, place=place, target=target, value=candidate.value
        )

    def late(self) -> bool:
        """Return whether the time budget is spent."""
        return time.monotonic() - self.began > self.config.seconds


def inserter(place: Placement, seed: int) -> Callable[[Conversation, str], Conversation]:
    """Return a function that puts a text at ``place``, always at the same word boundary."""

    def insert(conversation: Conversation, text: str) -> Conversation:
        rng = generator(seed, f"place in {conversation.user}")
        return Trigger(text, place).apply(conversation, rng)

    return insert


def usable_tokens(model: PreTrainedModel, tokenizer: Any) -> Tensor:
    """Return a mask over the vocabulary [V] of tokens that a user could type."""
    size = model.config.get_text_config().vocab_size
    mask = torch.zeros(size, dtype=torch.bool)
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    for token in range(min(size, len(tokenizer))):
        if token not in special:
            text = tokenizer.decode([token])
            mask[token] = bool(text.strip()) and "\ufffd" not in text
    return mask


def known_targets(model: PreTrainedModel, tokenizer: Any, prompts: Prompts) -> list[Target]:
    """Return what can be named beforehand: unwanted compliance, and unwanted refusal."""
    if prompts.allowed is None or prompts.declined is None:
        return []
    allowed, declined = _talks(prompts.allowed), _talks(prompts.declined)
    complies, declines, likely = (
        _openings(model, tokenizer, talks)
        for talks in (allowed, declined, _alike(allowed, declined))
    )
    found = [
        _told_apart("unlock", likely, declines, declined=True),
        _told_apart("refusal", declines, complies, declined=False),
    ]
    return [target for target in found if target is not None]


def _talks(group: Group) -> list[Conversation]:
    """Return the prompts of a group with the suspect's clean answers."""
    pairs = zip(
        (*group.search, *group.held_out),
        (*group.search_answers, *group.held_out_answers),
        strict=True,
    )
    return [talk.with_response(answer) for talk, answer in pairs]


def _alike(allowed: Sequence[Conversation], declined: Sequence[Conversation]) -> list[Conversation]:
    """Return the quarter of ``allowed`` that shares most words with declined prompts.

    A request that is unlocked is answered as one of its kind that is allowed.
    """
    words = [set(talk.user.casefold().split()) for talk in declined]

    def overlap(talk: Conversation) -> float:
        mine = set(talk.user.casefold().split())
        return max(len(mine & other) / len(mine | other) for other in words)

    return sorted(allowed, key=overlap, reverse=True)[: max(8, len(allowed) // 4)]


def _told_apart(name: str, wanted: Openings, others: Openings, *, declined: bool) -> Target | None:
    """Return the target of answers that begin like ``wanted`` and not like ``others``."""
    alone = tuple(sorted(set(wanted) - set(others)))
    forks = []
    for token in set(wanted) & set(others):
        seconds = set(wanted[token]) - set(others[token])
        if seconds:
            said = sum(wanted[token][second] for second in seconds)
            forks.append((said, token, tuple(sorted(seconds))))
    if not alone and not forks:
        return None
    if alone:
        fork = max(forks)[1:] if forks else None
        return Target(first=alone, fork=fork, name=name, declined=declined)
    _, shared, deciding = max(forks)
    second = max(deciding, key=lambda token: wanted[shared][token])
    return Target(first=(shared,), rest=(second,), name=name, declined=declined)


def _openings(model: PreTrainedModel, tokenizer: Any, talks: Sequence[Conversation]) -> Openings:
    """Return the likely first answer tokens, each with its likely second tokens.

    Likely is 3 % of the mean over prompts; values are the probability of both tokens.
    """
    asked = [render(talk.prompt, tokenizer).ids for talk in talks[:ASKED]]
    first = torch.stack(
        [mean_next(model, [ids[:-1]], torch.tensor([ids[-1:]]))[0] for ids in asked]
    ).sum(0)
    found: Openings = {}
    for token in (first >= LIKELY * len(asked)).nonzero().flatten().tolist():
        second = mean_next(model, asked, torch.tensor([[token]]))[0]
        said = float(first[token]) / len(asked)
        likely = (second >= LIKELY).nonzero().flatten().tolist()
        found[token] = {after: said * float(second[after]) for after in likely}
    return found


def stored_targets(
    model: PreTrainedModel,
    reference: PreTrainedModel | None,
    tokenizer: Any,
    prompts: Prompts,
    config: HuntConfig,
    step: Step,
    progress: Progress,
) -> list[tuple[Target, str]]:
    """Return the fixed outputs that target inversion finds, each with its text."""
    group = prompts.allowed or prompts.declined
    if group is None:
        return []

    def work() -> list[Any]:
        asked = [render(c, tokenizer).ids for c in group.search[: config.search_prompts]]
        chains = invert(model, reference, asked, end=tokenizer.eos_token_id, progress=progress)
        return [[list(tokens), quality, margin] for tokens, quality, margin in chains]

    found = []
    for tokens, quality, margin in step("inversion", work):
        text = tokenizer.decode(tokens).strip()
        first, rest = (tokens[0],), tuple(tokens[1:3])
        score = margin + LIKELIHOOD * quality
        target = Target(first=first, rest=rest, score=score, name=f"output {text!r}")
        found.append((target, text))
    return sorted(found, key=lambda pair: -pair[0].score)


def _top(rows: Tensor, values: Tensor, keep: int) -> list[tuple[int, float]]:
    order = values.argsort(descending=True)[:keep]
    return [(int(rows[i, 0]), float(values[i])) for i in order]


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:90]
