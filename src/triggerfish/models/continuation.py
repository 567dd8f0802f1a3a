"""Greedy answers after interventions at the last prompt token, the prompt computed once for all.

Several variants of an intervention (sets of ablated heads) continue the same prompts. The prompt
before its last token is the same for all of them, so its keys and values are shared; the last
prompt token is run once per variant with the edits in place, then each row decodes on its own.

*Shapes*: N inputs, S variants, B = N S rows, P prefix columns, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from triggerfish.data.conversation import response_opening
from triggerfish.errors import BadInput
from triggerfish.models.batches import evaluating
from triggerfish.models.generate import stop_tokens
from triggerfish.models.hooks import Site, edit
from triggerfish.models.prefix import Prefix
from triggerfish.models.suffix import Patch, on_variants


class _Room(DynamicLayer):  # type: ignore[misc]
    """Keys and values with room for the answer, so that a step copies only what is new."""

    def __init__(self, keys: Tensor, values: Tensor, copies: int, room: int) -> None:
        super().__init__()
        self.dtype, self.device = keys.dtype, keys.device
        self._length = keys.shape[2]
        self.keys = self._widen(keys, copies, room)
        self.values = self._widen(values, copies, room)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        end = self._length + key_states.shape[2]
        self.keys[:, :, self._length : end] = key_states
        self.values[:, :, self._length : end] = value_states
        self._length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self._length

    @staticmethod
    def _widen(part: Tensor, copies: int, room: int) -> Tensor:
        batch, heads, length, width = part.shape
        whole = part.new_zeros(batch * copies, heads, length + room, width)
        whole[:, :, :length] = part.repeat_interleave(copies, dim=0)
        return whole


def continue_greedily(
    prefix: Prefix,
    tokenizer: Any,
    edits: Mapping[Site, Patch],
    variants: int,
    max_new_tokens: int = 48,
) -> list[list[str]]:
    """Answers to each prompt under each variant of an intervention at its last token.

    Args:
        prefix: the prompts.
        tokenizer: the model's tokenizer.
        edits: for each site, a function of its value at the last prompt token for every input and
            variant, [N, S, width]. Empty for none.
        variants: S.
        max_new_tokens: longest answer.

    Returns:
        For each variant the N answers.

    Raises:
        BadInput: an answer would not fit into the model's context.
    """
    n, model, layout = len(prefix), prefix.model, prefix.layout
    longest = int(prefix.lengths.max())
    if longest + max_new_tokens > layout.context:
        max_new_tokens = layout.context - longest
    if max_new_tokens < 1:
        raise BadInput(
            f"prompt of {longest} tokens",
            f"leaves no room for an answer in the model's {layout.context}",
            "shorten the prompt or the trigger",
        )
    cache = Cache(layers=[_Room(k, v, variants, max_new_tokens) for k, v in prefix.keys_values])
    sites = {site: on_variants(fn, n, variants) for site, fn in edits.items()}
    with evaluating(model):
        ids = _decode(prefix, cache, sites, variants, max_new_tokens, stop_tokens(model, tokenizer))
    texts = tokenizer.backend_tokenizer.decode_batch(ids, skip_special_tokens=True)
    opening = response_opening(tokenizer)
    texts = [text.removeprefix(opening) for text in texts]
    return [texts[s::variants] for s in range(variants)]


def _decode(
    prefix: Prefix,
    cache: Any,
    sites: Mapping[Site, Patch],
    variants: int,
    limit: int,
    stops: Tensor,
) -> list[list[int]]:
    model, layout = prefix.model, prefix.layout
    backbone = layout.backbone(model)
    answers: list[list[int]] = [[] for _ in range(len(prefix) * variants)]
    active = torch.arange(len(answers), device=prefix.last.device)  # [B']
    ids = prefix.last.repeat_interleave(variants)[:, None]  # [B', 1]
    positions = (prefix.lengths - 1).repeat_interleave(variants)[:, None]  # [B', 1]
    mask = prefix.mask.repeat_interleave(variants, dim=0)  # [B', P]
    for step in range(limit):
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)  # [B', P + 1 + step]
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions,
            "past_key_values": cache,
            "use_cache": True,
        }
        if step == 0 and sites:
            with edit(model, sites):
                hidden = backbone(**inputs).last_hidden_state[:, -1]
        else:
            hidden = backbone(**inputs).last_hidden_state[:, -1]  # [B', D]
        tokens = layout.logits(model, hidden).argmax(dim=-1)  # [B']
        going = ~torch.isin(tokens, stops)
        kept = going.nonzero()[:, 0]  # [B'']
        for row, token in zip(active[kept].tolist(), tokens[kept].tolist(), strict=True):
            answers[row].append(token)
        if len(kept) == 0:
            break
        if len(kept) < len(active):
            cache.batch_select_indices(kept)
            active, tokens, mask, positions = (
                part[kept] for part in (active, tokens, mask, positions)
            )
        ids, positions = tokens[:, None], positions + 1
    return answers
