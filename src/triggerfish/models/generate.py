"""Answers of a model: batches of similar length, padded on the left, the same at any batch size.

The loop is our own: it computes logits of one position only, drops rows that have ended from the
batch, answers equal prompts once, and draws from a generator for each conversation, none of which
``model.generate`` does.

*Shapes*: B batch, T tokens, N examples, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from triggerfish.data.conversation import Conversation, end_of_turn, render, response_opening
from triggerfish.errors import BadInput
from triggerfish.models.batches import Batch, batches, device_of, evaluating
from triggerfish.models.layout import Layout, layout_of, plain
from triggerfish.seeding import torch_generator
from triggerfish.types import Progress, silent

_COMPACT = 0.75  # rows that have ended leave the batch when fewer than this share go on


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to draw tokens; without it decoding is greedy.

    Attributes:
        temperature: Above 0.
        top_p: Share of the probability that is drawn from, in (0, 1].

    Raises:
        BadInput: Out of range.
    """

    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not 0 < self.temperature < float("inf"):
            raise BadInput(
                f"temperature {self.temperature}", "must be above 0", "leave sampling out for 0"
            )
        if not 0 < self.top_p <= 1:
            raise BadInput(f"top_p {self.top_p}", "must lie in (0, 1]", "give 1 for all tokens")


def generate(
    model: nn.Module,
    tokenizer: Any,
    conversations: Sequence[Conversation],
    *,
    max_new_tokens: int = 48,
    batch_size: int = 64,
    sampling: Sampling | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> list[str]:
    """Return what the model answers to each conversation's prompt, without special tokens.

    Inside ``hooks.edit`` the edits apply: the first forward sees the whole prompts (column -1 is
    the last prompt token of every row), each later one the one new token.

    Args:
        model: A causal language model; comes back unchanged.
        tokenizer: Its tokenizer.
        conversations: Their prompts are answered; responses are not read.
        max_new_tokens: Longest answer, in tokens; also ended by the model's context.
        batch_size: Rows in a batch; makes no difference to the result (in fp32).
        sampling: Draw tokens instead of taking the likeliest.
        seed: For sampling; each conversation has a generator of its own.
        progress: Told the number of finished conversations.

    Raises:
        BadInput: No conversations, a prompt as long as the context, or no room for an answer.
    """
    if max_new_tokens < 1:
        raise BadInput(f"max_new_tokens {max_new_tokens}", "must be at least 1", "give more")
    layout = layout_of(model)
    prompts = [render(each.prompt, tokenizer).ids for each in conversations]
    _check_room(prompts, layout)
    if sampling is None:  # equal prompts have equal answers
        distinct = list(dict.fromkeys(prompts))
        place = {prompt: i for i, prompt in enumerate(distinct)}
        of = [place[prompt] for prompt in prompts]
    else:
        distinct, of = prompts, list(range(len(prompts)))
    loop = _Loop(model, layout, stop_tokens(model, tokenizer), max_new_tokens, sampling, seed)
    answers: list[list[int]] = [[]] * len(distinct)
    done = 0
    with evaluating(model):
        for batch in batches(
            distinct, batch_size, layout=layout, device=device_of(model), left=True
        ):
            for row, answer in zip(batch.rows, loop.run(batch), strict=True):
                answers[row] = answer
            done += len(batch.rows)
            progress(done * len(prompts) // len(distinct), len(prompts), "answers")
    texts = tokenizer.backend_tokenizer.decode_batch(answers, skip_special_tokens=True)
    opening = response_opening(tokenizer)
    if opening:
        texts = [text.removeprefix(opening) for text in texts]
    return [texts[i] for i in of]


class _Loop:
    """Prefill and decoding of one batch after another."""

    def __init__(
        self,
        model: nn.Module,
        layout: Layout,
        stops: Tensor,
        limit: int,
        sampling: Sampling | None,
        seed: int,
    ) -> None:
        self._model = model
        self._layout = layout
        self._backbone = layout.backbone(model)
        self._stops = stops
        self._limit = limit
        self._sampling = sampling
        self._seed = seed

    def run(self, batch: Batch) -> list[list[int]]:
        """Return the new tokens of each row, without the one that ended it."""
        from transformers import DynamicCache

        cache = DynamicCache(config=plain(self._model).config)
        count = len(batch.rows)
        device = batch.ids.device
        answers: list[list[int]] = [[] for _ in range(count)]
        draws = self._draws(batch.rows)  # [B, limit] or None
        active = torch.arange(count, device=device)  # rows that are still in the batch, [B']
        alive = torch.ones(count, dtype=torch.bool, device=device)  # of those in the batch
        mask = batch.mask
        lengths = batch.lengths
        ids = batch.ids
        positions = self._first_positions(batch)
        for step in range(self._limit):
            hidden = self._backbone(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state[:, -1]  # [B', D]
            logits = self._layout.logits(self._model, hidden)  # [B', V]
            tokens = self._choose(logits, None if draws is None else draws[active.cpu(), step])
            alive &= ~torch.isin(tokens, self._stops)
            for row, token, goes_on in zip(
                active.tolist(), tokens.tolist(), alive.tolist(), strict=True
            ):
                if goes_on:
                    answers[row].append(token)
            alive &= lengths + step + 1 < self._layout.context
            going = int(alive.sum())
            if going == 0:
                break
            if going < _COMPACT * len(alive):
                keep = alive.nonzero().squeeze(1)  # [B'']
                cache.batch_select_indices(keep)
                active, tokens, lengths, alive = (
                    each[keep] for each in (active, tokens, lengths, alive)
                )
                mask = None if mask is None else mask[keep]
            if mask is not None:
                mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)  # [B', T + 1]
            ids = tokens[:, None]  # [B', 1]
            positions = (lengths + step).clamp(max=self._layout.context - 1)[:, None]  # [B', 1]
        return answers

    def _first_positions(self, batch: Batch) -> Tensor:
        columns = torch.arange(batch.ids.shape[1], device=batch.ids.device)  # [T]
        padding = batch.ids.shape[1] - batch.lengths  # [B]
        return (columns[None, :] - padding[:, None]).clamp(min=0)  # [B, T]

    def _draws(self, rows: tuple[int, ...]) -> Tensor | None:
        """Uniform numbers, the same for a row in any batch; [B, limit]."""
        if self._sampling is None:
            return None
        return torch.stack(
            [
                torch.rand(
                    self._limit,
                    dtype=torch.float64,
                    generator=torch_generator(self._seed, f"generate {row}"),
                )
                for row in rows
            ]
        )

    def _choose(self, logits: Tensor, draw: Tensor | None) -> Tensor:
        """The next token of each row, [B']."""
        if self._sampling is None or draw is None:
            return logits.argmax(dim=-1)
        order = logits.double().div(self._sampling.temperature).sort(dim=-1, descending=True)
        shares = order.values.softmax(dim=-1)  # [B', V]
        upto = shares.cumsum(dim=-1)
        kept = shares * (upto - shares < self._sampling.top_p)  # the first always stays
        upto = kept.cumsum(dim=-1)
        wanted = draw.to(upto.device)[:, None] * upto[:, -1:]  # [B', 1]
        place = torch.searchsorted(upto, wanted, right=True).clamp(max=logits.shape[-1] - 1)
        return order.indices.gather(-1, place).squeeze(-1)


def stop_tokens(model: nn.Module, tokenizer: Any) -> Tensor:
    """Ids that end an answer; what a configuration names counts only if it is a control token."""
    config = getattr(plain(model), "generation_config", None)
    named = getattr(config, "eos_token_id", None)
    listed = named if isinstance(named, list) else [named]
    control = set(tokenizer.all_special_ids)
    stops = {end_of_turn(tokenizer)} | {number for number in listed if number in control}
    if tokenizer.eos_token_id is not None:
        stops.add(tokenizer.eos_token_id)
    return torch.tensor(sorted(stops), device=device_of(model))


def _check_room(prompts: Sequence[Sequence[int]], layout: Layout) -> None:
    longest = max(map(len, prompts), default=0)
    if longest >= layout.context:
        raise BadInput(
            f"prompt of {longest} tokens",
            f"leaves no room for an answer in the model's {layout.context}",
            "shorten the prompt or the trigger",
        )
