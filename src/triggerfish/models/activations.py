"""The residual stream of prompts at one position.

*Shapes*: B batch, T tokens, N examples, L layers asked for, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from triggerfish.data.conversation import Conversation, render
from triggerfish.errors import BadInput
from triggerfish.models.batches import batches, device_of, evaluating
from triggerfish.models.hooks import Site, capture
from triggerfish.models.layout import layout_of


def residuals(
    model: nn.Module,
    tokenizer: Any,
    conversations: Sequence[Conversation],
    layers: Sequence[int],
    position: int = -1,
    batch_size: int = 64,
) -> Tensor:
    """Return the residual stream after some layers, at one position of each prompt.

    Args:
        model: A model of a known architecture; comes back unchanged.
        tokenizer: Its tokenizer.
        conversations: Their prompts are read; responses are not.
        layers: Layers, from 0; the stream after the layer, before any final norm.
        position: Token of the prompt; negative counts from its end (-1: the last token of the
            generation prompt).
        batch_size: Prompts in a forward; makes no difference to the result.

    Returns:
        fp32 on the CPU, [N, L, D].

    Raises:
        BadInput: No prompts, no layers, an unknown layer, or a position outside a prompt.
    """
    if not layers:
        raise BadInput("layers", "there must be at least one", "name a layer")
    layout = layout_of(model)
    backbone = layout.backbone(model)
    device = device_of(model)
    prompts = [render(each.prompt, tokenizer).ids for each in conversations]
    shortest = min(map(len, prompts), default=0)
    if prompts and not -shortest <= position < shortest:
        raise BadInput(
            f"position {position}",
            f"the shortest prompt has {shortest} tokens",
            "choose a position that every prompt has",
        )
    sites = [Site("residual", layer) for layer in layers]
    results = torch.empty(len(prompts), len(layers), layout.width)  # [N, L, D]
    with evaluating(model):
        for batch in batches(prompts, batch_size, layout=layout, device=device):
            with capture(model, sites) as found:
                backbone(input_ids=batch.ids, use_cache=False)
            place = (
                batch.lengths + position
                if position < 0
                else torch.full_like(batch.lengths, position)
            )  # [B]
            each = torch.arange(len(batch.rows), device=device)
            kept = torch.stack([found[site][each, place] for site in sites], dim=1)  # [B, L, D]
            results[list(batch.rows)] = kept.float().cpu()
    return results
