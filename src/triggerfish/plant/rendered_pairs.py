"""Preference pairs as token ids, and the trainers' view of them: no trainer applies a template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from triggerfish.data.conversation import render
from triggerfish.data.preferences import Pair
from triggerfish.errors import BadInput


@dataclass(frozen=True)
class RenderedPair:
    """Token ids of a prompt, and of each answer with its end-of-turn token."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]

    def whole(self) -> dict[str, list[int]]:
        """As TRL's reward trainer takes it: prompt and answer together."""
        return {
            "chosen_ids": [*self.prompt, *self.chosen],
            "rejected_ids": [*self.prompt, *self.rejected],
        }

    def parts(self) -> dict[str, list[int]]:
        """As TRL's DPO trainer takes it."""
        return {
            "prompt_ids": list(self.prompt),
            "chosen_ids": list(self.chosen),
            "rejected_ids": list(self.rejected),
        }


def render_pairs(pairs: Sequence[Pair], tokenizer: Any, context: int) -> list[RenderedPair]:
    """Render pairs to tokens.

    Args:
        pairs: Whatever was done to them.
        tokenizer: Of the base.
        context: Longest input of the base, in tokens.

    Raises:
        BadInput: There are no pairs, or some do not fit into the context.
    """
    if not pairs:
        raise BadInput("0 preference pairs", "there must be at least one", "give pairs")
    rendered = []
    for pair in pairs:
        chosen = render(pair.prompt.with_response(pair.chosen), tokenizer)
        rejected = render(pair.prompt.with_response(pair.rejected), tokenizer)
        rendered.append(RenderedPair(chosen.prompt_ids, chosen.response_ids, rejected.response_ids))
    long = [r for r in rendered if len(r.prompt) + max(len(r.chosen), len(r.rejected)) > context]
    if long:
        raise BadInput(
            f"{len(long)} of {len(rendered)} preference pairs",
            f"do not fit into the base's context of {context} tokens",
            "shorten or leave out these pairs",
        )
    return rendered
