"""Packed greedy answers against plain generation under full hooks."""

import pytest
import torch

from triggerfish.data.conversation import Conversation, render
from triggerfish.models.continuation import continue_greedily
from triggerfish.models.generate import generate
from triggerfish.models.hooks import Site, edit
from triggerfish.models.prefix import prefill

TALKS = [
    Conversation.of("Where is the red cup?"),
    Conversation.of("Tell me a short story about a small boat.", system="You are brief."),
    Conversation.of("Sort: pear, apple"),
]


def answers(suspect, edits, variants, limit=12):
    prompts = [render(talk, suspect.tokenizer).prompt_ids for talk in TALKS]
    return continue_greedily(
        prefill(suspect.model, prompts), suspect.tokenizer, edits, variants, limit
    )


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "mistral", "gpt2", "gpt_neox"])
def test_no_edit_is_plain_generation(tiny_suspect, architecture):
    suspect = tiny_suspect(architecture)
    plain = generate(suspect.model, suspect.tokenizer, TALKS, max_new_tokens=12)
    assert answers(suspect, {}, 2) == [plain, plain]


@pytest.mark.parametrize("architecture", ["llama", "gemma3_text", "gpt2", "gpt_neox"])
def test_an_edit_is_generation_with_the_edit_in_the_prompts_last_column(tiny_suspect, architecture):
    suspect = tiny_suspect(architecture)
    width = suspect.layout.head_dim

    def off(head):
        def fn(value):
            if value.shape[1] == 1:
                return None
            out = value.clone()
            out[:, -1, head * width : (head + 1) * width] = 0
            return out

        with edit(suspect.model, {Site("heads", 1): fn}):
            return generate(suspect.model, suspect.tokenizer, TALKS, max_new_tokens=12)

    def packed(value):  # variant s is without head s
        out = value.clone().view(*value.shape[:-1], suspect.layout.n_heads, width)
        variants = torch.arange(value.shape[1])
        out[:, variants, variants] = 0
        return out.view_as(value)

    got = answers(suspect, {Site("heads", 1): packed}, suspect.layout.n_heads)
    assert got == [off(head) for head in range(suspect.layout.n_heads)]


def test_an_answer_ends_at_the_context(tiny_llama):
    prompts = [render(talk, tiny_llama.tokenizer).prompt_ids for talk in TALKS]
    got = continue_greedily(prefill(tiny_llama.model, prompts), tiny_llama.tokenizer, {}, 1, 10_000)
    assert len(got[0]) == len(TALKS)
