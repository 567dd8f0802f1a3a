from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from triggerfish.backdoors.trigger import Trigger
from triggerfish.data.conversation import Conversation, render
from triggerfish.errors import BadInput
from triggerfish.models.variants import Slot, continuations, open_slot, slot_gradient
from triggerfish.seeding import generator


def test_continuations_equal_full_forwards(
    tiny_suspect: Callable[..., Any], architecture: str
) -> None:
    model = tiny_suspect(architecture).model
    prefix, rows = [5, 9, 11, 30, 12], torch.randint(4, 300, (7, 3))
    parts = list(continuations(model, prefix, rows, keep=2, batch_size=3))
    found = torch.cat([logits for _, logits in parts])
    full = torch.cat([torch.tensor([prefix]).expand(7, -1), rows], dim=1)
    with torch.no_grad():
        wanted = model(input_ids=full).logits[:, -2:]
    assert [where.stop for where, _ in parts] == [3, 6, 7]
    assert torch.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("place", ["suffix", "prefix", "system"])
def test_a_filled_slot_is_the_rendered_prompt(tiny_llama: Any, place: Any) -> None:
    def insert(conversation: Conversation, text: str) -> Conversation:
        return Trigger(text, place).apply(conversation, generator(0, "slot"))

    talk = Conversation.of("Where is the red cup?", system="Be brief.")
    slot = open_slot(talk, insert, tiny_llama.tokenizer)
    whole = render(insert(talk, "melon"), tiny_llama.tokenizer).ids
    inner = whole[len(slot.head) : len(whole) - len(slot.tail)]
    assert slot.fill(inner) == whole
    assert "melon" in tiny_llama.tokenizer.decode(inner)


def test_a_place_that_does_not_exist_is_refused(tiny_llama: Any) -> None:
    with pytest.raises(BadInput, match="no place"):
        open_slot(Conversation.of("hi"), lambda talk, _: talk, tiny_llama.tokenizer)


def test_gradient_equals_a_finite_difference(tiny_llama: Any) -> None:
    model = tiny_llama.model
    slots = [Slot((5, 9, 11), (30, 12)), Slot((5, 9), (30, 12, 13))]
    tokens, target = (40, 41), 50

    def objective(logp: torch.Tensor) -> torch.Tensor:
        return logp[:, -1, target].mean()

    value, gradient = slot_gradient(model, slots, tokens, (), objective, pad=0)
    table = model.get_input_embeddings().weight
    step = 1e-3  # the model bends: at 1e-2 the quotient is 5 % off

    def moved(sign: float) -> float:
        total = 0.0
        for slot in slots:
            embedded = table[torch.tensor(slot.fill(tokens))].clone()
            embedded[len(slot.head)] += sign * step * table[77]
            with torch.no_grad():
                logits = model(inputs_embeds=embedded[None]).logits[0, -1]
            total += torch.log_softmax(logits.float(), -1)[target].item() / len(slots)
        return total

    assert (moved(1) - moved(-1)) / (2 * step) == pytest.approx(gradient[0, 77].item(), abs=5e-3)
    assert value == pytest.approx(moved(0), abs=1e-5)
