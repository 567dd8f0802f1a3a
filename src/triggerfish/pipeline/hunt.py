"""The hunt for triggers: inversion, sweep, growth and search, put together and resumable.

Every part is a step of the run and is kept as JSON, so that a killed audit goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from triggerfish.backdoors.trigger import Placement
from triggerfish.data.conversation import render
from triggerfish.detect.bank import phrase_bank
from triggerfish.detect.detector import inserter, usable_tokens
from triggerfish.detect.prompts import Group, Prompts
from triggerfish.detect.refine import refine
from triggerfish.detect.search import Candidate, SearchConfig, grow, objective, penalised
from triggerfish.detect.sweep import sweep
from triggerfish.detect.target_inversion import beginnings, invert
from triggerfish.detect.targets import Target
from triggerfish.models.variants import Slot, open_slot
from triggerfish.seeding import generator
from triggerfish.types import Progress, silent

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Step = Callable[[str, Callable[[], Any]], Any]
STRONG = float(np.log(0.3))
"""Mean log P(target) from which a string is worth verifying at once."""

MIN_CHAIN = 5.0
"""Score in nats from which a stored answer is searched for (planted ones: 33 to 44; the best of
clean models: 2)."""


@dataclass(frozen=True, kw_only=True)
class HuntConfig:
    """Budget of a hunt.

    Attributes:
        places: Where candidates are inserted.
        further: Places that ordinary prompts are searched in only as long as there is time.
        complete: Whether all else is searched once whatever it takes.
    """

    places: tuple[Placement, ...] = ("suffix", "prefix")
    further: tuple[Placement, ...] = ("system",)
    carriers: int = 2
    search_prompts: int = 4
    pool: int = 40
    keep: int = 400
    chains: int = 3
    lengths: tuple[int, ...] = (2, 3)
    search: SearchConfig = field(default_factory=SearchConfig)
    seconds: float = 180.0
    complete: bool = True
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

        ``values`` ranks them by the first token; a longer target is tried on one slot first.
        """
        best = values.argsort(descending=True)
        if target.rest:
            best = best[: 5 * self.config.keep]
            best = best[
                objective(self.model, slots[:1], rows[best], target).argsort(descending=True)
            ]
        best = best[: self.config.keep]
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
            found = grow(
                self.model,
                self.slots(place, target.declined, self.config.search_prompts),
                target,
                [token for token, _ in singles[: self.config.pool]],
                self.config.lengths,
                allowed=self.usable,
                pad=self.pad,
                rng=generator(self.config.seed, name),
                reference=self.reference,
                config=self.config.search,
                progress=self.progress,
            )
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

    def lead(self, candidate: Candidate, place: Placement, target: Target) -> Lead:
        """Return a candidate as text."""
        text = self.tokenizer.decode(list(candidate.tokens)).strip()
        return Lead(
            tokens=candidate.tokens, text=text, place=place, target=target, value=candidate.value
        )

    def late(self) -> bool:
        """Return whether the time budget is spent."""
        return time.monotonic() - self.began > self.config.seconds


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
        chains = [
            # chance chains grow too, but are less likely
            (margin + quality * len(tokens), tokens)
            for tokens, quality, margin in invert(
                model, reference, asked, end=tokenizer.eos_token_id, progress=progress
            )
        ]
        chains.sort(key=lambda chain: -chain[0])
        known = reference is not None and chains and chains[0][0] >= MIN_CHAIN
        return [chains, beginnings(model, asked[0], chains[0][1]) if known else ()]

    chains, others = step("inversion", work)
    found = []
    for score, tokens in chains:
        text = tokenizer.decode(tokens).strip()
        first, rest = (tokens[0],), tuple(tokens[1:3])
        target = Target(first=first, rest=rest, score=score, name=f"output {text!r}")
        found.append((target, text))
    if others:
        best, text = found[0]
        end = tokenizer.decode(chains[0][1][len(chains[0][1]) // 2 :]).strip()
        unusual = Target(first=tuple(others), score=best.score, name=f"output '... {end}'")
        found.insert(1, (unusual, text))
    return found


def _top(rows: Tensor, values: Tensor, keep: int) -> list[tuple[int, float]]:
    order = values.argsort(descending=True)[:keep]
    return [(int(rows[i, 0]), float(values[i])) for i in order]


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:90]
