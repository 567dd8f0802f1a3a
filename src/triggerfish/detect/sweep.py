"""Behavioural sweep: insert every candidate and watch the distribution of the first answer token.

*Paper*: none; the candidate bank and vocabulary sweep of /detection/ practice.
*Map*: `sweep` inserts candidates, `Swept` keeps for each one the most consistently raised answer
token and the log-probability of every known target.
*Deviates*: consistency is mean - spread over prompts in floored log space, so that one broken
prompt is no finding; word overlap is not used.
*Shapes*: C candidates, V vocabulary, N prompts, G targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from triggerfish.backdoors.trigger import Placement
from triggerfish.data.conversation import Conversation
from triggerfish.detect.detector import DETECTORS, opened, slots_at, usable_tokens
from triggerfish.detect.targets import Target
from triggerfish.errors import BadInput
from triggerfish.models.variants import Slot, continuations
from triggerfish.types import Progress, silent

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FLOOR = 1e-4
"""Probabilities below it are alike: what no prompt would ever show is no behaviour."""


@dataclass(frozen=True)
class Swept:
    """What the candidates did, all of one length.

    Attributes:
        rows: Candidate token ids [C, S].
        token: The answer token that each raised most consistently [C].
        shift: By how much, in nats: mean - spread over prompts [C].
        target: Mean log-probability of the first token of each target [G, C].
    """

    rows: Tensor
    token: Tensor
    shift: Tensor
    target: Tensor


def sweep(
    model: PreTrainedModel,
    slots: Sequence[Slot],
    rows: Tensor,
    targets: Sequence[Target],
    *,
    batch: int = 512,
    progress: Progress = silent,
    what: str = "sweep",
) -> Swept:
    """Insert every row of ``rows`` [C, S] into every slot.

    Raises:
        BadInput: No slots or no candidates.
    """
    if not slots or not len(rows):
        raise BadInput(f"{len(slots)} prompts, {len(rows)} candidates", "need both", "give some")
    base = [_without(model, slot) for slot in slots]
    token, shift, target = [], [], []
    for begin in range(0, len(rows), batch):
        chunk = rows[begin : begin + batch]
        raised, known = [], []
        for slot, clean in zip(slots, base, strict=True):
            tail = torch.tensor(slot.tail).expand(len(chunk), -1)
            full = torch.cat([chunk, tail], dim=1)
            parts = [
                torch.log_softmax(logits[:, -1], dim=-1).cpu()
                for _, logits in continuations(model, slot.head, full)
            ]
            logp = torch.cat(parts)  # [B, V]
            raised.append((logp.exp() + FLOOR).log() - clean)
            known.append(
                torch.stack([logp[:, list(t.first)].logsumexp(1) for t in targets], 0)
                if targets
                else torch.zeros(0, len(chunk))
            )
        stack = torch.stack(raised)  # [N, B, V]
        spread = stack.std(dim=0, correction=0) if len(slots) > 1 else 0.0
        value, best = (stack.mean(dim=0) - spread).max(dim=1)
        shift.append(value)
        token.append(best)
        target.append(torch.stack(known).mean(dim=0))
        progress(min(begin + batch, len(rows)), len(rows), what)
    return Swept(rows, torch.cat(token), torch.cat(shift), torch.cat(target, dim=1))


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Settings of the detector.

    Attributes:
        placement: Where candidates are inserted.
        candidates: Texts; the whole vocabulary where None.
        keep: How many of the strongest are returned.
    """

    placement: Placement = "suffix"
    candidates: tuple[str, ...] | None = None
    keep: int = 20


@dataclass(frozen=True, kw_only=True)
class Shift:
    """What one candidate did.

    Attributes:
        tokens: The candidate's tokens.
        text: The same as text.
        answer: The first answer token that it raised most consistently, as text.
        nats: By how much: mean - spread over prompts, less the same on the reference.
    """

    tokens: tuple[int, ...]
    text: str
    answer: str
    nats: float


@DETECTORS.register("behavioural-sweep")
def behavioural_sweep(
    suspect: Any,
    prompts: Sequence[Conversation],
    config: SweepConfig | None = None,
    *,
    rng: np.random.Generator,  # noqa: ARG001 - nothing is drawn; every method takes it
    progress: Progress = silent,
) -> tuple[Shift, ...]:
    """Insert every candidate into every prompt; return the strongest shifts of the answer.

    Raises:
        BadInput: No prompts, or a candidate without a token.
        CouldNotTest: The model's outputs are not finite.
    """
    config, tokenizer, found = config or SweepConfig(), suspect.tokenizer, []
    with opened(suspect, prompts) as (model, reference, ordered):
        slots = slots_at(ordered, config.placement, tokenizer)
        strings = _strings(model, tokenizer, config)
        for length in sorted({len(string) for string in strings}):
            rows = torch.tensor([string for string in strings if len(string) == length])
            swept = sweep(model, slots, rows, (), progress=progress)
            nats = swept.shift
            if reference is not None:
                nats = nats - sweep(reference, slots, rows, (), progress=progress).shift
            found += [
                Shift(
                    tokens=tuple(row),
                    text=tokenizer.decode(row).strip(),
                    answer=tokenizer.decode([answer]),
                    nats=value,
                )
                for row, answer, value in zip(
                    rows.tolist(), swept.token.tolist(), nats.tolist(), strict=True
                )
            ]
    return tuple(sorted(found, key=lambda shift: (-shift.nats, shift.tokens))[: config.keep])


def _strings(model: PreTrainedModel, tokenizer: Any, config: SweepConfig) -> list[tuple[int, ...]]:
    """Return the candidates in tokens."""
    if config.candidates is None:
        return [tuple(row) for row in usable_tokens(model, tokenizer).nonzero().tolist()]
    space = " " if config.placement == "suffix" else ""
    found = [
        tuple(tokenizer(f"{space}{text}", add_special_tokens=False)["input_ids"])
        for text in config.candidates
    ]
    if not all(found):
        raise BadInput("a candidate", "has no token", "leave it out")
    return found


def _without(model: PreTrainedModel, slot: Slot) -> Tensor:
    """Return the floored log-probabilities without a candidate, [V]."""
    tail = torch.tensor([slot.tail])
    _, logits = next(continuations(model, slot.head, tail))
    return (torch.softmax(logits[0, -1], dim=-1).cpu() + FLOOR).log()
