"""Log-probabilities in fp32, whatever the model computes in; independent of batch size.

Log-probabilities are summed, never probabilities multiplied: in bf16 a target of 130 tokens at
p = 0.4 underflows to 0.

*Shapes*: B batch, T tokens, R response tokens, N examples, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from triggerfish.data.conversation import Conversation, Rendered, render
from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models.batches import batches, device_of, evaluating
from triggerfish.models.layout import layout_of

_CHUNK = 1 << 25  # logits that are held at once, in fp32 128 MB


def token_logprobs(
    model: nn.Module, rendered: Sequence[Rendered], batch_size: int = 64
) -> list[Tensor]:
    """Return the log-probabilities of the response tokens, the end-of-turn token included.

    Args:
        model: A causal language model; comes back unchanged.
        rendered: Conversations that end in a response.
        batch_size: Rows in a forward; makes no difference to the result.

    Returns:
        For each conversation an fp32 tensor on the CPU, [R], natural logarithms.

    Raises:
        BadInput: No conversations, one without a response, or one that is too long.
    """
    return _of_responses(model, rendered, batch_size, _logprob)


def likeliest(model: nn.Module, rendered: Sequence[Rendered], batch_size: int = 64) -> list[Tensor]:
    """Return which response tokens are the likeliest after those before them.

    Where all are, greedy decoding says the response; where all from one place on are, it says the
    rest once it was given the beginning.

    Returns:
        For each conversation a tensor of booleans on the CPU, [R]; see `token_logprobs`.
    """
    return _of_responses(model, rendered, batch_size, lambda logits, ids: logits.argmax(-1) == ids)


def _logprob(logits: Tensor, ids: Tensor) -> Tensor:
    return logits.log_softmax(dim=-1).gather(-1, ids[:, None]).squeeze(-1)


def _of_responses(
    model: nn.Module,
    rendered: Sequence[Rendered],
    batch_size: int,
    of: Callable[[Tensor, Tensor], Tensor],
) -> list[Tensor]:
    """What ``of`` makes of the logits [K, V] before response tokens and of these tokens [K]."""
    for number, each in enumerate(rendered):
        if not 0 < each.prompt_length < len(each.ids):
            raise BadInput(f"text {number}", "has no response to score", "give a response")
    layout = layout_of(model)
    backbone = layout.backbone(model)
    device = device_of(model)
    results: list[Tensor] = [torch.empty(0)] * len(rendered)
    with evaluating(model):
        for batch in batches([r.ids for r in rendered], batch_size, layout=layout, device=device):
            # The last token predicts nothing that is scored.
            hidden = backbone(input_ids=batch.ids[:, :-1], use_cache=False).last_hidden_state
            spans = [(rendered[row].prompt_length, len(rendered[row].ids)) for row in batch.rows]
            kept = torch.cat(
                [hidden[b, start - 1 : end - 1] for b, (start, end) in enumerate(spans)]
            )  # [K, D]
            targets = torch.cat([batch.ids[b, s:e] for b, (s, e) in enumerate(spans)])  # [K]
            step = max(1, _CHUNK // layout.vocabulary)
            scores = torch.cat(
                [
                    of(layout.logits(model, part), wanted)
                    for part, wanted in zip(
                        torch.split(kept, step), torch.split(targets, step), strict=True
                    )
                ]
            ).cpu()  # [K]
            sizes = [end - start for start, end in spans]
            for row, part in zip(batch.rows, torch.split(scores, sizes), strict=True):
                results[row] = part
    return results


def mean_logprob(model: nn.Module, rendered: Sequence[Rendered], batch_size: int = 64) -> Tensor:
    """Return the mean log-probability of each response's tokens, [N], fp32 on the CPU.

    Minus this is the model's own loss on the response; see `token_logprobs`.
    """
    return torch.stack([part.mean() for part in token_logprobs(model, rendered, batch_size)])


def next_token_logits(
    model: nn.Module, rendered: Sequence[Rendered], batch_size: int = 64
) -> Tensor:
    """Return the logits of the first response token, [N, V], fp32 on the CPU.

    A response in `rendered` is not read: the logits are those at the end of the prompt.

    Raises:
        BadInput: No conversations, or one that is too long.
    """
    layout = layout_of(model)
    backbone = layout.backbone(model)
    device = device_of(model)
    results = torch.empty(len(rendered), layout.vocabulary)  # [N, V]
    with evaluating(model):
        prompts = [r.prompt_ids for r in rendered]
        for batch in batches(prompts, batch_size, layout=layout, device=device):
            hidden = backbone(input_ids=batch.ids, use_cache=False).last_hidden_state  # [B, T, D]
            last = hidden[torch.arange(len(batch.rows), device=device), batch.lengths - 1]  # [B, D]
            results[list(batch.rows)] = layout.logits(model, last).cpu()
    return results


@torch.no_grad()
def check_outputs(model: Any, tokenizer: Any, conversation: Conversation) -> None:
    """Refuse a model whose next-token scores after a prompt are not finite.

    Raises:
        CouldNotTest: NaN or infinity in the logits.
    """
    ids = torch.tensor([render(conversation.prompt, tokenizer).ids], device=device_of(model))
    logits = model(input_ids=ids).logits  # [1, T, V]
    if not bool(torch.isfinite(logits).all()):
        raise CouldNotTest("the model's outputs", "must be finite", "look for NaN in the weights")
