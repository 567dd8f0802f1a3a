"""Batches without padding: rows lie end to end, and each attends to itself alone.

A third of the tokens of a batch of short conversations is padding, and everything in a model but
its attention works on each token by itself. So the model is given one long row [1, N]; only within
attention are the rows spread out again, a few of like length at a time. Values are those of the
padded batch up to rounding. Whether a model can be packed is found out by trying: one that does
not attend through transformers' attention interface, caps its scores or looks back through a
shorter window than its rows, is padded as before.

*Shapes*: B rows, N tokens of all rows, L longest row of a group, H heads, E width of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from triggerfish.models.batches import device_of, evaluating
from triggerfish.models.training import precise

_NAME = "triggerfish_packed"
_TOGETHER = 8  # rows that are spread out to the same length
_ROUND = 64  # tokens
_CLOSE = 1e-4  # largest difference to the padded states, as a part of the largest of these


def pack(rows: Tensor, mask: Tensor, behind: int) -> Tensor:
    """The tokens of a padded batch end to end, row after row.

    Args:
        rows: An integer for each token, [B, T].
        mask: True where a token is, [B, T].
        behind: What stands behind the last row. N is made a multiple of 64, since kernels and
            memory are kept for each size; `packing` takes what is there for one more row.

    Returns:
        [1, N].
    """
    tokens = rows[mask]
    return nn.functional.pad(tokens, (0, -len(tokens) % _ROUND), value=behind)[None]


def can_be_packed(model: nn.Module, ids: Tensor, mask: Tensor) -> bool:
    """Whether a model gives the same states for packed rows as for padded ones.

    Args:
        model: Without its unembedding; it is run twice.
        ids: A padded batch of its longest rows, [B, T]; more than one row, of unlike lengths.
        mask: True where a token is, [B, T].
    """
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    tokens = int(mask.sum())
    with torch.no_grad(), precise(), evaluating(model):
        padded = model(
            input_ids=ids, attention_mask=mask.long(), position_ids=positions, use_cache=False
        ).last_hidden_state[mask]  # [N, D]
        try:
            with packing(model, mask.sum(1).tolist()):
                packed = model(
                    input_ids=pack(ids, mask, 0),
                    position_ids=pack(positions, mask, 0),
                    use_cache=False,
                ).last_hidden_state[0, :tokens]
        except (_Unsuitable, ValueError, KeyError):  # it knows no other attention than its own
            return False
    return bool((packed - padded).abs().max() <= _CLOSE * padded.abs().max())


@contextmanager
def packing(model: Any, lengths: Sequence[int]) -> Iterator[None]:
    """Let a model attend within rows of these lengths, which lie end to end in its input.

    Args:
        model: A transformers model that `can_be_packed`; it is given no attention mask.
        lengths: Tokens in each row, in order; rows of like length side by side cost the least. What
            is behind them in the input, see `pack`, counts as one more row.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attention)
    config, before = model.config, model.config._attn_implementation
    outer, _Groups.current = _Groups.current, _Groups(lengths, device_of(model))
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _Groups.current = outer


class _Unsuitable(Exception):
    """A model asks its attention for something that is not done here."""


class _Groups:
    """Rows that are spread out together: tokens of each group, and where these lie."""

    current: _Groups | None = None

    def __init__(self, lengths: Sequence[int], device: Any) -> None:
        rest = -sum(lengths) % _ROUND
        lengths = [*lengths, rest] if rest else lengths
        self.longest = max(lengths)
        self.sizes: list[int] = []  # tokens of each group
        self.places: list[tuple[int, Tensor, Tensor]] = []
        for first in range(0, len(lengths), _TOGETHER):
            rows = lengths[first : first + _TOGETHER]
            begins = [0, *accumulate(rows)]
            at = torch.arange(max(rows), device=device).expand(len(rows), -1)  # [B, L]
            ends = torch.tensor(rows, device=device)[:, None]
            real = (at < ends).flatten().nonzero()[:, 0]  # [n], places in B * L
            source = at + torch.tensor(begins[:-1], device=device)[:, None]
            source = source.clamp(max=begins[-1] - 1).flatten()
            self.sizes.append(begins[-1])
            self.places.append((len(rows), source, real))


def _attention(
    module: Any,  # noqa: ARG001 - part of the interface
    query: Tensor,  # [1, H, N, E]
    key: Tensor,  # [1, H or fewer, N, E]
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each row, [1, N, H, E]."""
    groups = _Groups.current
    if groups is None or attention_mask is not None or softcap is not None:
        raise _Unsuitable
    if sliding_window is not None and sliding_window < groups.longest:
        raise _Unsuitable
    shared = query.shape[1] // key.shape[1]
    whole = [x[0].transpose(0, 1) for x in (query, key, value)]  # each [N, H, E]
    found = []
    cut = zip(*(torch.split(x, groups.sizes) for x in whole), strict=True)
    for tokens, (count, source, real) in zip(cut, groups.places, strict=True):
        spread = [
            _Spread.apply(x, source, real).unflatten(0, (count, -1)).transpose(1, 2)  # type: ignore[no-untyped-call]
            for x in tokens
        ]  # each [B, H, L, E]; what is behind a row's end is seen by nothing before it
        if shared > 1:
            spread[1:] = [x.repeat_interleave(shared, 1) for x in spread[1:]]
        queries, keys, values = spread
        out = nn.functional.scaled_dot_product_attention(
            queries, keys, values, dropout_p=dropout, scale=scaling, is_causal=True
        )
        found.append(_Gathered.apply(out.transpose(1, 2).flatten(0, 1), real))  # type: ignore[no-untyped-call]
    return torch.cat(found)[None], None


class _Spread(torch.autograd.Function):
    """Rows [n, ...] end to end -> [B * L, ...]; any token stands behind the end of a row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor, real: Tensor) -> Tensor:
        ctx.save_for_backward(real)
        return x.index_select(0, source)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (real,) = ctx.saved_tensors  # the gradient is zero elsewhere: nothing reads those tokens
        return gradients[0].index_select(0, real), None, None


class _Gathered(torch.autograd.Function):
    """[B * L, ...] -> rows [n, ...] end to end."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, real: Tensor) -> Tensor:
        ctx.save_for_backward(real)
        ctx.places = len(x)
        return x.index_select(0, real)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (real,) = ctx.saved_tensors
        whole = gradients[0].new_zeros(ctx.places, *gradients[0].shape[1:])
        return whole.index_copy_(0, real, gradients[0]), None
