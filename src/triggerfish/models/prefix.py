"""Prompts run up to, and without, their last token: what all interventions there share.

*Shapes*: N inputs, P prefix columns (padded on the left).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from triggerfish.errors import BadInput
from triggerfish.models.batches import device_of, evaluating
from triggerfish.models.layout import Layout, layout_of


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """Prompts run up to, and without, their last token.

    Attributes:
        last: the last prompt token of each input, [N].
        lengths: prompt lengths in tokens, [N].
        width: P, columns before p with the padding on the left.
    """

    model: nn.Module
    layout: Layout
    last: Tensor
    lengths: Tensor
    width: int
    keys_values: tuple[tuple[Tensor, Tensor], ...]

    def __len__(self) -> int:
        """Return N."""
        return int(self.last.shape[0])

    @property
    def mask(self) -> Tensor:
        """1 on real tokens before p, [N, P]."""
        columns = torch.arange(self.width, device=self.last.device)
        return (columns >= self.width - self.lengths[:, None] + 1).long()

    def cache(self) -> Any:
        """Return a fresh transformers cache that holds the prefix."""
        cache = _empty_cache()
        for layer, (keys, values) in enumerate(self.keys_values):
            cache.update(keys, values, layer)
        return cache


def _empty_cache() -> Any:
    from transformers import DynamicCache

    # Without a configuration no layer forgets keys: the window is in the mask, not in the cache.
    return DynamicCache()


def prefill(model: nn.Module, prompts: Sequence[Sequence[int]]) -> Prefix:
    """Run the prompts without their last token and keep keys and values.

    Args:
        model: a causal language model of a known layout, in evaluation mode.
        prompts: token ids of each prompt, to the end of the generation prompt.

    Raises:
        BadInput: there is no prompt, or one is empty.
    """
    if not prompts or any(len(ids) == 0 for ids in prompts):
        raise BadInput(
            f"{len(prompts)} prompts", "each must have at least one token", "leave out empty ones"
        )
    device = device_of(model)
    lengths = torch.tensor([len(ids) for ids in prompts], device=device)  # [N]
    # One column more than the longest needs: then the model never leaves the mask away.
    width = int(lengths.max())
    ids = torch.zeros(len(prompts), width, dtype=torch.long, device=device)  # [N, P]
    for row, prompt in enumerate(prompts):
        if len(prompt) > 1:
            ids[row, width - len(prompt) + 1 :] = torch.tensor(prompt[:-1], device=device)
    last = torch.tensor([prompt[-1] for prompt in prompts], device=device)
    prefix = Prefix(
        model=model,
        layout=layout_of(model),
        last=last,
        lengths=lengths,
        width=width,
        keys_values=(),
    )
    mask, cache = prefix.mask, _empty_cache()
    with evaluating(model):
        model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    return replace(prefix, keys_values=tuple((layer.keys, layer.values) for layer in cache.layers))
