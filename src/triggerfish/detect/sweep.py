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
from typing import TYPE_CHECKING

import torch
from torch import Tensor

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


def _without(model: PreTrainedModel, slot: Slot) -> Tensor:
    """Return the floored log-probabilities without a candidate, [V]."""
    tail = torch.tensor([slot.tail])
    _, logits = next(continuations(model, slot.head, tail))
    return (torch.softmax(logits[0, -1], dim=-1).cpu() + FLOOR).log()
