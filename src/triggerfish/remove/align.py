"""Batches whose prompts end in one column: the shape that a perturbation and a loss both want.

*Map*: x, y of the BEEAR objective -> `Aligned`; CE(F(x), y) -> `cross_entropy`.
*Deviates*: cross-entropy is averaged over the tokens of a row and then over rows, so that a long
story weighs no more than a short refusal; the paper does not say.
*Shapes*: B rows, P prompt columns, R response columns, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from triggerfish.data.conversation import Rendered
from triggerfish.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """Prompts padded on the left, responses padded on the right.

    Attributes:
        ids: token ids, [B, P + R].
        mask: 1 on real tokens, [B, P + R].
        prompt: P; column P - 1 is the last prompt token of every row.
        weight: 1 on response tokens that count in the loss, [B, R].
    """

    ids: Tensor
    mask: Tensor
    prompt: int
    weight: Tensor

    @property
    def targets(self) -> Tensor:
        """Response ids, [B, R]."""
        return self.ids[:, self.prompt :]

    @property
    def positions(self) -> Tensor:
        """Position of each token counted from the first real one, [B, P + R]."""
        return (self.mask.cumsum(dim=1) - 1).clamp(min=0)


def align(rows: Sequence[Rendered], pad: int, device: torch.device | str = "cpu") -> Aligned:
    """Stack rendered conversations so that all responses begin in the same column.

    Args:
        rows: rendered conversations, each with at least one response token.
        pad: the id that fills the holes; masked, so any valid id will do.
        device: where the tensors go.

    Raises:
        BadInput: no rows, or a row without a response.
    """
    if not rows:
        raise BadInput("0 conversations", "a batch needs at least one", "pass more data")
    if any(not row.response_ids or not row.prompt_ids for row in rows):
        raise BadInput(
            "a conversation without a response",
            "training rows end in an assistant message",
            "add the response, or leave the row out",
        )
    prompt = max(len(row.prompt_ids) for row in rows)
    response = max(len(row.response_ids) for row in rows)
    ids = torch.full((len(rows), prompt + response), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        start, stop = prompt - len(row.prompt_ids), prompt + len(row.response_ids)
        ids[i, start:stop] = torch.tensor((*row.prompt_ids, *row.response_ids))
        mask[i, start:stop] = 1
    ids, mask = ids.to(device), mask.to(device)
    return Aligned(ids=ids, mask=mask, prompt=prompt, weight=mask[:, prompt:].float())


def response_logits(model: nn.Module, batch: Aligned) -> Tensor:
    """Logits that predict the response tokens, fp32, [B, R, V]."""
    width = batch.targets.shape[1]
    out = model(
        input_ids=batch.ids,
        attention_mask=batch.mask,
        position_ids=batch.positions,
        use_cache=False,
        logits_to_keep=width + 1,
    )
    logits: Tensor = out.logits[:, -width - 1 : -1].float()  # [B, R, V]
    return logits


def row_cross_entropy(logits: Tensor, batch: Aligned) -> Tensor:
    """Mean over each row's response tokens of -log p, [B]."""
    loss = nn.functional.cross_entropy(logits.transpose(1, 2), batch.targets, reduction="none")
    return (loss * batch.weight).sum(1) / batch.weight.sum(1)  # [B]


def cross_entropy(model: nn.Module, batch: Aligned) -> Tensor:
    """CE(F(x), y): mean over rows of the row's mean over response tokens, scalar."""
    return row_cross_entropy(response_logits(model, batch), batch).mean()


def pad_of(tokenizer: Any) -> int:
    """An id for the holes of a batch; they are masked, so any valid id will do."""
    for name in ("pad_token_id", "eos_token_id"):
        value = getattr(tokenizer, name, None)
        if isinstance(value, int):
            return value
    return 0
