"""What a detector is, the registry of them, and what they share.

A detector is a function `(suspect, prompts, config, *, rng, progress) -> frozen result`. It looks
at a suspect, beside its reference where there is one, and leaves both as it found them. What it
returns is a lead: only `detect.verify` makes a finding of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from triggerfish.backdoors.trigger import Placement, Trigger
from triggerfish.data.conversation import Conversation
from triggerfish.errors import BadInput
from triggerfish.models.score import check_outputs
from triggerfish.models.variants import Slot, open_slot
from triggerfish.registry import Registry
from triggerfish.seeding import generator
from triggerfish.types import Progress, silent

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Detector(Protocol):
    """A registered detector."""

    def __call__(
        self,
        suspect: Any,
        prompts: Sequence[Conversation],
        config: Any,
        *,
        rng: np.random.Generator,
        progress: Progress = silent,
    ) -> Any:
        """Look at the suspect on prompts without a trigger; their order makes no difference."""


DETECTORS: Registry[Detector] = Registry("detector", "triggerfish.detectors")


@contextmanager
def opened(
    suspect: Any, prompts: Sequence[Conversation]
) -> Iterator[tuple[PreTrainedModel, PreTrainedModel | None, list[Conversation]]]:
    """Yield suspect and reference as plain models, and the prompts in an order of their own.

    Raises:
        BadInput: No prompts.
        CouldNotTest: The outputs of a model are not finite.
    """
    if not prompts:
        raise BadInput("0 prompts", "a detector needs at least one", "give some")
    ordered = sorted((talk.prompt for talk in prompts), key=repr)
    with suspect.fast() as (model, reference):
        for each in (model, reference):
            if each is not None:
                check_outputs(each, suspect.tokenizer, ordered[0])
        yield model, reference, ordered


def slots_at(
    prompts: Sequence[Conversation], placement: Placement, tokenizer: Any, seed: int = 0
) -> list[Slot]:
    """Return the open place of each prompt."""
    insert = inserter(placement, seed)
    return [open_slot(talk, insert, tokenizer) for talk in prompts]


def inserter(place: Placement, seed: int) -> Callable[[Conversation, str], Conversation]:
    """Return a function that puts a text at ``place``, always at the same word boundary."""

    def insert(conversation: Conversation, text: str) -> Conversation:
        rng = generator(seed, f"place in {conversation.user}")
        return Trigger(text, place).apply(conversation, rng)

    return insert


def usable_tokens(model: PreTrainedModel, tokenizer: Any) -> Tensor:
    """Return a mask over the vocabulary [V] of tokens that a user could type."""
    size = model.config.get_text_config().vocab_size
    mask = torch.zeros(size, dtype=torch.bool)
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    for token in range(min(size, len(tokenizer))):
        if token not in special:
            text = tokenizer.decode([token])
            mask[token] = bool(text.strip()) and "\ufffd" not in text
    return mask
