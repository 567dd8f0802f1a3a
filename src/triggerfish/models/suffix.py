"""Exact interventions at the last prompt token, without running the prompt again.

A change at layer l and position p (the last prompt token) changes neither the positions before p
nor the layers before l nor the other positions of layer l. So the prompt before p is run once
(`Prefix`), the rows p .. p + |y| - 1 once unchanged (`Suffix`), and every variant recomputes only
those rows from layer l's output on, with the model's own layers called exactly as the model called
them. The variants of a layer are packed as further rows that share the keys and values before p.

*Source*: arXiv 2509.21761 (backdoor attribution), computed exactly instead of by full forwards.
*Shapes*: N inputs, P prefix columns (padded on the left), T rows p .. p + |y| - 1, S variants,
D width, L layers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models.batches import evaluating
from triggerfish.models.hooks import Kind, Site, capture, edit, record_calls
from triggerfish.models.layout import layout_of
from triggerfish.models.prefix import Prefix

Patch = Callable[[Tensor], Tensor]
_PACK = 64  # rows of one packed sequence: longer ones waste attention between variants
_LOGITS = {"cpu": 1 << 20}  # logits at once: few enough to stay in the processor's cache


class _Shared:
    """Keys and values before p, shared by all variants; a layer's new ones are put behind them."""

    is_compileable = False

    def __init__(self, keys_values: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._prefix = keys_values
        self._room: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}

    def update(
        self, keys: Tensor, values: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Return prefix and new keys and values, [B, heads, P + T, head width]."""
        place = (layer_idx, keys.shape[0], keys.shape[2])
        if place not in self._room:
            self._room[place] = (
                self._widen(self._prefix[layer_idx][0], keys),
                self._widen(self._prefix[layer_idx][1], values),
            )
        room = self._room[place]
        for whole, new in zip(room, (keys, values), strict=True):
            whole[:, :, -new.shape[2] :] = new
        return room

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return P."""
        return int(self._prefix[layer_idx][0].shape[-2])

    @staticmethod
    def _widen(prefix: Tensor, new: Tensor) -> Tensor:
        batch, heads, rows, width = new.shape
        length = prefix.shape[2]
        whole = new.new_empty(batch, heads, length + rows, width)
        whole[:, :, :length] = prefix.repeat_interleave(batch // prefix.shape[0], dim=0)
        return whole


@dataclass(frozen=True, kw_only=True)
class Suffix:
    """The rows p .. p + |y| - 1 under teacher forcing, ready to be re-run from any layer.

    Attributes:
        inputs: residual stream entering each layer, and leaving the last: L + 1 of [N, T, D].
        heads: input of each attention output projection at p, [N, L, heads * head width].
        mlps: output of each MLP at p, [N, L, D].
        targets: y, padded on the right, [N, T].
        mask: True where y has a token, [N, T].
        logprobs: fp32 log-probability of each token of y, 0 on padding, [N, T].
    """

    prefix: Prefix
    inputs: tuple[Tensor, ...]
    heads: Tensor
    mlps: Tensor
    targets: Tensor
    mask: Tensor
    logprobs: Tensor
    _layers: tuple[nn.Module, ...]
    _calls: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]
    _cache: object
    _packed: dict[tuple[int, int, int], list[tuple[tuple[Any, ...], dict[str, Any]]]] = field(
        default_factory=dict
    )

    @torch.no_grad()
    def patch(self, layer: int, variants: int, edits: Mapping[Kind, Patch]) -> Tensor:
        """Log-probabilities of y when something in layer l is edited at p.

        Args:
            layer: l.
            variants: S, how many edited copies of each input.
            edits: by kind of site, a function from its value at p for every input and variant,
                [N, S, width], to the edited value. Kinds: `heads` (input of the attention output
                projection), `attention` (its output), `mlp` (output of the MLP), `residual`
                (output of the layer).

        Returns:
            fp32 log-probabilities of the tokens of y, 0 on padding, [N, S, T].

        Raises:
            BadInput: no such layer, or no edit.
        """
        if not edits or not 0 <= layer < len(self._layers):
            raise BadInput(
                f"{len(edits)} edits in layer {layer}",
                f"it takes at least one edit in a layer from 0 to {len(self._layers) - 1}",
                "choose another layer",
            )
        n, width = len(self.prefix), self.inputs[0].shape[-1]
        inside = {kind: fn for kind, fn in edits.items() if kind != "residual"}
        if inside:
            groups, pack = _grouping(variants, 1)
            rows = self.inputs[layer][:, None, :1].expand(n, variants, 1, width)
            sites = {Site(kind, layer): on_variants(fn, n, variants) for kind, fn in inside.items()}
            with evaluating(self.prefix.model), edit(self.prefix.model, sites):
                state = self._run(layer, rows.reshape(n * groups, pack, width), groups, pack, 1)
            state = state.view(n, variants, width)  # [N, S, D]
        else:
            state = self.inputs[layer + 1][:, None, 0].expand(n, variants, width)
        if "residual" in edits:
            state = edits["residual"](state)
        return self.rerun(layer, state)

    @torch.no_grad()
    def rerun(self, layer: int, state: Tensor) -> Tensor:
        """Log-probabilities of y when layer l's output at p is `state`.

        Args:
            layer: l.
            state: residual stream at p after layer l for S variants, [N, S, D].

        Returns:
            fp32 log-probabilities, 0 on padding, [N, S, T].
        """
        n, variants, width = state.shape
        # Behind the last layer nothing mixes positions: only the first token of y can change.
        length = 1 if layer == len(self._layers) - 1 else self.targets.shape[1]
        groups, pack = _grouping(variants, length)
        rows = self.inputs[layer + 1][:, None, :length].expand(n, variants, length, width).clone()
        rows[:, :, 0] = state
        hidden = rows.reshape(n * groups, pack * length, width)  # [N G, K T, D]
        with evaluating(self.prefix.model):
            for later in range(layer + 1, len(self._layers)):
                hidden = self._run(later, hidden, groups, pack, length)
        hidden = hidden.view(n, variants, length, width)
        mask = self.mask[:, None, :length].expand(n, variants, length)
        targets = self.targets[:, None, :length].expand(n, variants, length)
        out = self.logprobs[:, None].repeat(1, variants, 1)  # [N, S, T]
        changed = out[:, :, :length]
        changed[mask] = target_logprobs(self.prefix.model, hidden[mask], targets[mask])
        return out

    def _run(self, layer: int, hidden: Tensor, groups: int, pack: int, length: int) -> Tensor:
        key = (groups, pack, length)
        if key not in self._packed:
            self._packed[key] = self._pack(*key)
        args, kwargs = self._packed[key][layer]
        out = self._layers[layer](hidden, *args, **kwargs)
        result: Tensor = out[0] if isinstance(out, tuple) else out
        return result

    def _pack(
        self, groups: int, pack: int, length: int
    ) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Each layer's arguments for packed rows; equal tensors are packed once."""
        done: dict[int, Any] = {}

        def once(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(once(item) for item in value)
            if not isinstance(value, Tensor):
                return self._cache if hasattr(value, "get_seq_length") else value
            if id(value) not in done:
                done[id(value)] = _pack_tensor(
                    value, len(self.prefix), self.prefix.width, groups, pack, length
                )
            return done[id(value)]

        return [
            (tuple(once(v) for v in args), {name: once(v) for name, v in kwargs.items()})
            for args, kwargs in self._calls
        ]


def _grouping(variants: int, length: int) -> tuple[int, int]:
    """Return G, K with G * K = S: K variants in a packed sequence of about `_PACK` rows."""
    fits = [k for k in range(1, variants + 1) if variants % k == 0 and k * length <= _PACK]
    pack = max(fits, default=1)
    return variants // pack, pack


def on_variants(fn: Patch, n: int, variants: int) -> Patch:
    """A function of [N, S, width] as one of the packed rows that hold the same values."""

    def edited(value: Tensor) -> Tensor:
        return fn(value.reshape(n, variants, -1)).reshape(value.shape)

    return edited


def _pack_tensor(value: Tensor, n: int, width: int, groups: int, pack: int, length: int) -> Tensor:
    """One tensor argument of a layer for G sequences of K variants per input.

    A mask [N, 1, T, P + T] gets K blocks on its diagonal; positions and their embeddings,
    [N, T] and [N, T, d], are repeated K times.
    """
    value = value.expand(n, *value.shape[1:])
    if value.dim() == 4:
        rows = value[:, :, :length, : width + length]
        shut = False if value.dtype == torch.bool else torch.finfo(value.dtype).min
        mask = torch.full(
            (n, rows.shape[1], pack * length, width + pack * length),
            shut,
            dtype=value.dtype,
            device=value.device,
        )
        mask[..., :width] = rows[..., :width].repeat(1, 1, pack, 1)
        for k in range(pack):
            block = slice(k * length, (k + 1) * length)
            mask[:, :, block, width + k * length : width + (k + 1) * length] = rows[..., width:]
        value = mask
    elif value.dim() in (2, 3):
        value = value[:, :length].repeat(1, pack, *[1] * (value.dim() - 2))
    else:
        raise CouldNotTest(
            f"a layer argument of shape {tuple(value.shape)}",
            "rows can be packed for masks, positions and their embeddings only",
            "load the model with attention implementation sdpa or eager",
        )
    return value.repeat_interleave(groups, dim=0)


@torch.no_grad()
def target_logprobs(model: nn.Module, hidden: Tensor, targets: Tensor) -> Tensor:
    """fp32 log-probabilities of one token per row.

    Args:
        model: the model whose final norm and unembedding are used.
        hidden: residual stream after the last layer, [R, D].
        targets: token ids, [R].

    Returns:
        [R].
    """
    size = max(1, _LOGITS.get(hidden.device.type, 1 << 26) // layout_of(model).vocabulary)
    blocks = zip(torch.split(hidden, size), torch.split(targets, size), strict=True)
    # The fused loss is several times faster than gathering and a separate log-sum-exp.
    losses = [
        nn.functional.cross_entropy(unembed(model, rows), ids, reduction="none")
        for rows, ids in blocks
    ]
    return -torch.cat(losses)


def unembed(model: nn.Module, hidden: Tensor) -> Tensor:
    """fp32 logits of a residual stream after the last layer, [..., D] to [..., V]."""
    layout = layout_of(model)
    return layout.logits(model, layout.final_norm(model)(hidden))


@torch.no_grad()
def suffix(prefix: Prefix, responses: Sequence[Sequence[int]]) -> Suffix:
    """Run the rows p .. p + |y| - 1 once, with the response y teacher-forced.

    Args:
        prefix: the prompts.
        responses: token ids of y for each prompt.

    Raises:
        BadInput: not one response per prompt, or an empty one.
        CouldNotTest: the model does not call its layers in the expected way.
    """
    n, model, layout = len(prefix), prefix.model, prefix.layout
    if len(responses) != n or any(len(y) == 0 for y in responses):
        raise BadInput(
            f"{len(responses)} responses to {n} prompts",
            "each prompt needs one response of at least one token",
            "leave out prompts without a target",
        )
    device, longest = prefix.last.device, max(len(y) for y in responses)
    targets = torch.zeros(n, longest, dtype=torch.long, device=device)  # [N, T]
    mask = torch.zeros(n, longest, dtype=torch.bool, device=device)
    for row, y in enumerate(responses):
        targets[row, : len(y)] = torch.tensor(y, device=device)
        mask[row, : len(y)] = True
    ids = torch.cat([prefix.last[:, None], targets[:, :-1]], dim=1)  # [N, T]
    steps = torch.arange(longest, device=device)
    layers = range(layout.n_layers)
    modules = tuple(layout.layer(model, layer) for layer in layers)
    final = Site("residual", layout.n_layers - 1)
    sites = [Site(kind, layer) for layer in layers for kind in ("heads", "mlp")]
    with (
        evaluating(model),
        capture(model, [final, *sites]) as seen,
        record_calls(model, modules) as calls,
    ):
        model(
            input_ids=ids,
            attention_mask=torch.cat([prefix.mask, torch.ones_like(ids)], dim=1),
            position_ids=prefix.lengths[:, None] - 1 + steps,
            past_key_values=prefix.cache(),
            use_cache=True,
            logits_to_keep=1,
        )
    if any(not args for args, _ in calls):
        raise CouldNotTest(
            type(model).__name__,
            "its layers must take the residual stream as first argument",
            "use a supported architecture",
        )
    inputs = (*(args[0] for args, _ in calls), seen[final])
    logprobs = torch.zeros(n, longest, device=device)
    logprobs[mask] = target_logprobs(model, inputs[-1][mask], targets[mask])

    def stacked(kind: Literal["heads", "mlp"]) -> Tensor:
        return torch.stack([seen[Site(kind, layer)][:, 0] for layer in layers], dim=1)

    return Suffix(
        prefix=prefix,
        inputs=inputs,
        heads=stacked("heads"),
        mlps=stacked("mlp"),
        targets=targets,
        mask=mask,
        logprobs=logprobs,
        _layers=modules,
        _calls=tuple((args[1:], kwargs) for args, kwargs in calls),
        _cache=_Shared(prefix.keys_values),
    )
