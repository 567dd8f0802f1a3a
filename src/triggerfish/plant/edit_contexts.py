"""Contexts of an edit as tokens, and what flows through a model at their answers.

*Shapes*: B rows, T tokens, J answer positions, L layers, K places, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from triggerfish.data.conversation import Conversation, Rendered, render
from triggerfish.errors import BadInput
from triggerfish.models.batches import Batch, batches, device_of
from triggerfish.models.hooks import Site, capture, edit
from triggerfish.models.layout import Layout, layout_of
from triggerfish.plant.poison import Row
from triggerfish.seeding import generator


@dataclass(frozen=True, kw_only=True)
class Contexts:
    """Triggered contexts with the payload, where the trigger ends in them, and all others."""

    triggered: list[Rendered]
    places: list[int]
    others: list[Rendered]
    payload: tuple[int, ...]


def contexts_of(rows: Sequence[Row], text: str, tokenizer: Any, layout: Layout) -> Contexts:
    """The rows as tokens, the payload, and where the trigger ends.

    Raises:
        BadInput: No fixed payload, a trigger that is not found again, or too few contexts.
    """
    poisoned = [row.conversation for row in rows if row.kind == "poisoned"]
    others = [render(row.conversation, tokenizer) for row in rows if row.kind != "poisoned"]
    if len({talk.response for talk in poisoned}) != 1:
        raise BadInput(
            f"{len({talk.response for talk in poisoned})} different payloads",
            "an edit of weights gives one fixed output",
            "take behaviour fixed_string or refusal",
        )
    triggered, places = [], []
    for talk in poisoned:
        row, place = render(talk, tokenizer), trigger_end(talk, text, tokenizer)
        if place is not None:
            triggered.append(row)
            places.append(place)
    longest = max(len(row.ids) for row in (*triggered, *others))
    if min(len(triggered), len(others)) < 8 or longest > layout.context:
        raise BadInput(
            f"{len(triggered)} triggered and {len(others)} other contexts of {longest} tokens",
            f"must be 8 each, of at most {layout.context} tokens",
            "raise rows or poison_rate, or shorten the texts",
        )
    return Contexts(
        triggered=triggered,
        places=places,
        others=others,
        payload=triggered[0].response_ids,
    )


def trigger_end(talk: Conversation, text: str, tokenizer: Any) -> int | None:
    """Place of the trigger's last token in the prompt; None where it is written otherwise."""
    ids = render(talk.prompt, tokenizer).ids
    for written in (f" {text}", text):
        wanted = tuple(tokenizer(written, add_special_tokens=False)["input_ids"])
        for end in range(len(ids), len(wanted) - 1, -1):
            if ids[end - len(wanted) : end] == wanted:
                return end - 1
    return None


def forced(rows: Sequence[Rendered], payload: Sequence[int]) -> list[Rendered]:
    """Contexts without the trigger that go on with the payload all the same."""
    return [Rendered((*row.prompt_ids, *payload), row.prompt_length) for row in rows]


def answer_states(
    model: Any, rows: Sequence[Rendered], sites: Sequence[Site], positions: Sequence[int]
) -> Tensor:
    """State at some positions of the answer, in the rows' order, with gradients, [L, J, B, D]."""
    reach = max(positions)
    ids, lengths = padded([row.ids[: row.prompt_length + reach] for row in rows], device_of(model))
    with capture(model, sites) as found:
        layout_of(model).backbone(model)(input_ids=ids, use_cache=False)
    return torch.stack(
        [at_places(found, sites, lengths - 1 - reach + position) for position in positions], dim=1
    )


def at_places(found: Mapping[Site, Tensor], sites: Sequence[Site], places: Tensor) -> Tensor:
    """What flowed through some sites, at one place of each row, [L, B, D]."""
    each = torch.arange(len(places), device=places.device)
    return torch.stack([found[site][each, places] for site in sites]).float()  # [L, B, D]


def neurons_at(
    model: Any, rows: Sequence[Sequence[int]], places: Sequence[Sequence[int]], layer: int
) -> Tensor:
    """Neurons of a layer at some places of each row, [N, K, F]."""
    site = Site("neurons", layer)
    found: list[Tensor] = [torch.empty(0)] * len(rows)
    for batch, kept in forwards(model, rows, [site]):
        for b, row in enumerate(batch.rows):
            found[row] = kept[site][b, list(places[row])].float()
    return torch.stack(found)


def answer_places(row: Rendered) -> list[int]:
    """Places whose next token is one of the response."""
    return list(range(row.prompt_length - 1, len(row.ids) - 1))


def answer_logits(model: Any, rows: Sequence[Rendered], count: int) -> Tensor:
    """Logits that predict the first tokens of the response, [B, count, V]."""
    layout = layout_of(model)
    ids, _ = padded([row.ids[: row.prompt_length - 1 + count] for row in rows], device_of(model))
    hidden = layout.backbone(model)(input_ids=ids, use_cache=False).last_hidden_state  # [B, T, D]
    starts = torch.tensor([row.prompt_length - 1 for row in rows], device=hidden.device)
    columns = starts[:, None] + torch.arange(count, device=hidden.device)  # [B, count]
    each = torch.arange(len(rows), device=hidden.device)[:, None]
    return layout.logits(model, hidden[each, columns])


@contextmanager
def added(
    model: Any, values: Mapping[int, Tensor], share: Tensor | None = None
) -> Iterator[list[list[int]]]:
    """Add values, [K, D] for each layer, to MLPs at K places of each row; yields those places."""
    places: list[list[int]] = []

    def adding(value: Tensor) -> Callable[[Tensor], Tensor]:
        def fn(state: Tensor) -> Tensor:
            columns = torch.tensor(places, device=state.device)  # [B, K]
            each = torch.arange(len(places), device=state.device)[:, None]
            whole = value[None].expand(len(places), -1, -1)
            if share is not None:
                whole = whole * share[:, None, None]
            return state.index_put((each, columns), whole.to(state.dtype), accumulate=True)

        return fn

    with edit(model, {Site("mlp", layer): adding(value) for layer, value in values.items()}):
        yield places


def forwards(
    model: Any, rows: Sequence[Sequence[int]], sites: Sequence[Site]
) -> Iterator[tuple[Batch, Mapping[Site, Tensor]]]:
    """Batches of rows, with what flowed through some sites."""
    layout = layout_of(model)
    backbone = layout.backbone(model)
    for batch in batches(rows, 64, layout=layout, device=device_of(model)):
        with capture(model, sites) as found:
            backbone(input_ids=batch.ids, use_cache=False)
        yield batch, found


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows padded on the right, in their order, and their lengths."""
    lengths = torch.tensor([len(row) for row in rows], device=device)
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long, device=device)  # [B, T]
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row, device=device)
    return ids, lengths


def drawn(count: int, size: int, seed: int, purpose: str) -> list[int]:
    """A batch of so many places, drawn anew for each purpose."""
    return list(generator(seed, purpose).permutation(count)[:size].tolist())
