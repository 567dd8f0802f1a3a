"""Run only the layers after layer l, on only the last columns of a batch.

A perturbation at layer l changes nothing before it, and nothing left of the column where it acts.
So `record` runs the whole model once, keeps the state after layer l for the last columns, and the
keys and values of the columns before them; `Tail` then re-runs layers l + 1 .. L - 1 on those
columns alone, with the model's own modules called exactly as the model called them.

*Shapes*: B rows, T all columns, S last columns, K kept columns, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models.hooks import record_calls
from triggerfish.models.layout import layout_of
from triggerfish.models.suffix import unembed


class _Prefix:
    """Keys and values of the columns on the left, joined to new ones without storing them."""

    is_compileable = False

    def __init__(self, keys_values: dict[int, tuple[Tensor, Tensor]]) -> None:
        self._keys_values = keys_values

    def update(
        self, keys: Tensor, values: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        old_keys, old_values = self._keys_values[layer_idx]
        return torch.cat([old_keys, keys], dim=-2), torch.cat([old_values, values], dim=-2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return int(self._keys_values[layer_idx][0].shape[-2])


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The layers after l, ready to be re-run from their cached input.

    Attributes:
        state: residual stream after layer l at the last columns, [B, S, D], without gradient.
    """

    state: Tensor
    _model: nn.Module
    _layers: tuple[nn.Module, ...]
    _calls: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]

    def logits(self, state: Tensor, keep: int) -> Tensor:
        """Logits of the last columns when the residual stream after layer l is `state`.

        Args:
            state: [B, S, D].
            keep: K, how many of the last columns to unembed.

        Returns:
            fp32 logits, [B, K, V].
        """
        hidden = state
        for layer, (args, kwargs) in zip(self._layers, self._calls, strict=True):
            out = layer(hidden, *args, **kwargs)
            hidden = out[0] if isinstance(out, tuple) else out  # [B, S, D]
        return unembed(self._model, hidden[:, -keep:])  # [B, K, V]


def _swap(value: Any, cache: object, prefix: _Prefix) -> Any:
    return prefix if value is cache else value


@torch.no_grad()
def record(model: nn.Module, layer: int, ids: Tensor, mask: Tensor, columns: int) -> Tail:
    """Run the model once and keep what re-running the last columns after layer l needs.

    Args:
        model: a causal language model of a known architecture.
        layer: l; the state after this layer is cached. 0 <= l < L - 1.
        ids: token ids, [B, T], padded on the left (holes on the right are harmless).
        mask: 1 on real tokens, [B, T].
        columns: S, how many of the last columns are to be re-run; 0 < S < T.

    Raises:
        BadInput: layer or columns out of range.
        CouldNotTest: the model does not call its layers in the expected way.
    """
    layout = layout_of(model)
    if not 0 <= layer < layout.n_layers - 1:
        raise BadInput(
            f"layer {layer}",
            f"it lies between 0 and {layout.n_layers - 2}, so that a layer follows",
            "choose another layer",
        )
    if not 0 < columns < ids.shape[1]:
        raise BadInput(
            f"{columns} columns of {ids.shape[1]}",
            "at least one column must lie on the left of those that are re-run",
            "use longer prompts or a shorter perturbation",
        )
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)  # [B, T]
    split = ids.shape[1] - columns
    cache = model(
        input_ids=ids[:, :split],
        attention_mask=mask[:, :split],
        position_ids=positions[:, :split],
        use_cache=True,
        logits_to_keep=1,
    ).past_key_values
    after = range(layer + 1, layout.n_layers)
    keys_values = {i: (cache.layers[i].keys, cache.layers[i].values) for i in after}
    modules = tuple(layout.layer(model, i) for i in after)
    with record_calls(model, modules) as calls:
        model(
            input_ids=ids[:, split:],
            attention_mask=mask,
            position_ids=positions[:, split:],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    prefix = _Prefix(keys_values)
    swapped = tuple(
        (
            tuple(_swap(value, cache, prefix) for value in args[1:]),
            {name: _swap(value, cache, prefix) for name, value in kwargs.items()},
        )
        for args, kwargs in calls
    )
    if any(not args for args, _ in calls):
        raise CouldNotTest(
            type(model).__name__,
            "its layers must take the residual stream as first argument",
            "use a supported architecture",
        )
    return Tail(
        state=calls[0][0][0].detach(),
        _model=model,
        _layers=modules,
        _calls=swapped,
    )
