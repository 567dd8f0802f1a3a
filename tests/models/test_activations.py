import pytest
import torch

from triggerfish.data.conversation import Conversation, render
from triggerfish.errors import BadInput
from triggerfish.models.activations import residuals

TALKS = [
    Conversation.of("Hi"),
    Conversation.of("Where is the red cup?", response="It is not read."),
    Conversation.of("Tell me a short story about a small boat.", system="Be kind."),
]


def test_residuals_are_the_hidden_states(architecture, tiny_suspect):
    suspect = tiny_suspect(architecture)
    found = residuals(suspect.model, suspect.tokenizer, TALKS, [1, 0])
    assert found.shape == (3, 2, suspect.layout.width)
    for talk, rows in zip(TALKS, found, strict=True):
        ids = torch.tensor([render(talk.prompt, suspect.tokenizer).ids])
        states = suspect.model(input_ids=ids, output_hidden_states=True).hidden_states
        torch.testing.assert_close(rows[0], states[2][0, -1], atol=1e-5, rtol=0)
        torch.testing.assert_close(rows[1], states[1][0, -1], atol=1e-5, rtol=0)


def test_positions_and_batch_size(tiny_llama):
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    one_by_one = residuals(model, tokenizer, TALKS, [2], position=-3, batch_size=1)
    torch.testing.assert_close(
        residuals(model, tokenizer, TALKS, [2], position=-3), one_by_one, atol=1e-5, rtol=0
    )
    assert not torch.equal(residuals(model, tokenizer, TALKS, [2]), one_by_one)
    first = residuals(model, tokenizer, TALKS, [0], position=0)
    torch.testing.assert_close(first[0], first[2])
    ids = torch.tensor([render(TALKS[0], tokenizer).ids])
    second = model(input_ids=ids, output_hidden_states=True).hidden_states[1][0, 1]
    found = residuals(model, tokenizer, TALKS, [0], position=1)[0, 0]
    torch.testing.assert_close(found, second, atol=1e-5, rtol=0)


def test_bad_requests_are_refused(tiny_llama):
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    for talks, layers, position, words in [
        ([], [0], -1, "at least one"),
        (TALKS, [], -1, "layers"),
        (TALKS, [3], -1, "layer 3"),
        (TALKS, [0], -500, "position -500"),
        (TALKS, [0], 40, "position 40"),
    ]:
        with pytest.raises(BadInput, match=words):
            residuals(model, tokenizer, talks, layers, position=position)
