"""Rows of token ids as padded batches, and a model in eval mode for as long as it is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from triggerfish.errors import BadInput
from triggerfish.models.layout import Layout


@dataclass(frozen=True)
class Batch:
    """Some rows, padded to the longest.

    Attributes:
        rows: Which of the given rows they are, B of them.
        ids: Token ids, [B, T].
        mask: 1 on real tokens, [B, T]; None where nothing is padded.
        lengths: Real tokens of each row, [B].
    """

    rows: tuple[int, ...]
    ids: Tensor
    mask: Tensor | None
    lengths: Tensor


def batches(
    rows: Sequence[Sequence[int]],
    batch_size: int,
    *,
    layout: Layout,
    device: torch.device,
    left: bool = False,
) -> Iterator[Batch]:
    """Yield rows in batches of similar length, longest first.

    Args:
        rows: Token ids of each row.
        batch_size: Rows in a batch, B.
        layout: Of the model that will read them.
        device: Where the tensors go.
        left: Pad on the left (to generate); otherwise on the right, where a causal model needs
            no mask, because nothing reads the padding.

    Raises:
        BadInput: No rows, an empty row, a row longer than the model reads, or a bad batch size.
    """
    if batch_size < 1:
        raise BadInput(f"batch size {batch_size}", "must be at least 1", "give a larger one")
    if not rows:
        raise BadInput("0 texts", "there must be at least one", "give more data")
    lengths = [len(row) for row in rows]
    if min(lengths) == 0:
        raise BadInput(f"text {lengths.index(0)}", "has no tokens", "leave it out")
    if max(lengths) > layout.context:
        raise BadInput(
            f"text of {max(lengths)} tokens",
            f"the model reads {layout.context}",
            "shorten the text or the trigger",
        )
    order = sorted(range(len(rows)), key=lambda row: -lengths[row])
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        longest = lengths[chosen[0]]
        ids = torch.zeros(len(chosen), longest, dtype=torch.long)  # [B, T]
        mask = torch.zeros(len(chosen), longest, dtype=torch.long)  # [B, T]
        for b, row in enumerate(chosen):
            span = slice(longest - lengths[row], None) if left else slice(lengths[row])
            ids[b, span] = torch.tensor(rows[row], dtype=torch.long)
            mask[b, span] = 1
        padded = lengths[chosen[-1]] < longest
        yield Batch(
            rows=tuple(chosen),
            ids=ids.to(device),
            mask=mask.to(device) if padded else None,
            lengths=torch.tensor([lengths[row] for row in chosen], device=device),
        )


def device_of(model: nn.Module) -> torch.device:
    """Return where a model is."""
    return next(model.parameters()).device


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode without gradients; every module's mode is restored."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
