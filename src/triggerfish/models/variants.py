"""Many variants of one context: the shared prefix is computed once, the variants in batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from triggerfish.data.conversation import Conversation, render
from triggerfish.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

TOKENS_PER_BATCH = 4096
MARKERS = ("zq", "vk", "the", "so")  # rare and common: a space may join a word or not


@dataclass(frozen=True)
class Slot:
    """A rendered prompt with one place left open: ``head`` + inserted tokens + ``tail``."""

    head: tuple[int, ...]
    tail: tuple[int, ...]

    def fill(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Return the prompt's ids with ``tokens`` in the open place."""
        return (*self.head, *tokens, *self.tail)


def open_slot(
    conversation: Conversation, insert: Callable[[Conversation, str], Conversation], tokenizer: Any
) -> Slot:
    """Return the slot at which ``insert`` puts a text into ``conversation``.

    Markers are inserted and rendered; what all renderings share is head and tail.

    Raises:
        BadInput: The markers cannot be told apart in the rendering.
    """
    rows = [render(insert(conversation, marker).prompt, tokenizer).ids for marker in MARKERS]
    one, shortest = rows[0], min(map(len, rows))
    head = next((i for i in range(shortest) if len({row[i] for row in rows}) > 1), shortest)
    tail = next((i for i in range(shortest) if len({row[-1 - i] for row in rows}) > 1), shortest)
    if head + tail >= shortest:
        raise BadInput(
            f"conversation {conversation.user[:60]!r}",
            "has no place for an insertion",
            "check the chat template",
        )
    return Slot(one[:head], one[len(one) - tail :])


@torch.no_grad()
def continuations(
    model: PreTrainedModel,
    prefix: Sequence[int],
    rows: Tensor,
    *,
    keep: int = 1,
    batch_size: int | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the fp32 logits of the last ``keep`` positions of rows that share ``prefix``.

    Args:
        model: A causal language model in evaluation mode.
        prefix: Token ids before every row; at least one.
        rows: Continuations, [N, T], all of one length.
        keep: How many last positions, at most T.
        batch_size: Rows per forward pass; from ``TOKENS_PER_BATCH`` where left out.

    Yields:
        The slice of rows and their logits [B, K, V].
    """
    size = batch_size or max(1, TOKENS_PER_BATCH // rows.shape[1])
    device = model.device
    start = torch.tensor([list(prefix)], device=device)  # [1, P]
    cache = model(input_ids=start, use_cache=True, logits_to_keep=1).past_key_values
    for begin in range(0, len(rows), size):
        chunk = rows[begin : begin + size].to(device)
        shared = copy.deepcopy(cache)
        shared.batch_repeat_interleave(len(chunk))
        output = model(input_ids=chunk, past_key_values=shared, use_cache=True, logits_to_keep=keep)
        yield slice(begin, begin + len(chunk)), output.logits.float()


def padded(
    sequences: Sequence[Sequence[int]], pad: int, device: Any = "cpu"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, attention mask and positions, padded on the left; each [N, T]."""
    width = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), width), pad)
    mask = torch.zeros((len(sequences), width), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence) :] = torch.tensor(list(sequence))
        mask[row, width - len(sequence) :] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return ids.to(device), mask.to(device), positions.to(device)


def slot_gradient(
    model: PreTrainedModel,
    slots: Sequence[Slot],
    tokens: Sequence[int],
    continuation: Sequence[int],
    objective: Callable[[Tensor], Tensor],
    pad: int,
) -> tuple[float, Tensor]:
    """Return the objective and its gradient with respect to the inserted one-hot tokens.

    Args:
        model: A causal language model; its weights get no gradient.
        slots: Prompts with an open place.
        tokens: Ids inserted in every slot, S of them.
        continuation: Answer ids under teacher forcing; may be empty.
        objective: From fp32 log-probabilities [N, K + 1, V] after the prompt and after each
            continuation token to one number.
        pad: Id for padding.

    Returns:
        The value and the gradient [S, V], positive where a token would raise the objective.
    """
    sequences = [(*slot.fill(tokens), *continuation) for slot in slots]
    ids, mask, positions = padded(sequences, pad, model.device)
    table = model.get_input_embeddings()
    with torch.enable_grad():
        embedded = table(ids).detach().requires_grad_(True)  # [N, T, D]
        logits = model(
            inputs_embeds=embedded,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=len(continuation) + 1,
        ).logits
        value = objective(torch.log_softmax(logits.float(), dim=-1))
        (gradient,) = torch.autograd.grad(value, embedded)
    width = ids.shape[1]
    total = torch.zeros(len(tokens), embedded.shape[-1], device=ids.device)  # [S, D]
    for row, (slot, sequence) in enumerate(zip(slots, sequences, strict=True)):
        begin = width - len(sequence) + len(slot.head)
        total += gradient[row, begin : begin + len(tokens)]
    return float(value.detach()), total @ table.weight.detach().T
