import pytest
import torch

from triggerfish.data.conversation import Conversation, render
from triggerfish.errors import BadInput
from triggerfish.models.score import likeliest, mean_logprob, next_token_logits, token_logprobs

PAIRS = [
    ("Hi", "Hello."),
    ("Where is the red cup?", "It is in the kitchen, on the table beside the window."),
    ("What is 12 plus 7? " * 4, "19"),
    ("Tell me a short story.", "A small boat sailed over the quiet lake at night. " * 3),
    ("zq", ""),
]


def rendered_by(tokenizer):
    return [render(Conversation.of(user, response=text), tokenizer) for user, text in PAIRS]


def test_scores_are_the_models_own_loss_at_any_batch_size(architecture, tiny_suspect):
    suspect = tiny_suspect(architecture)
    rendered = rendered_by(suspect.tokenizer)
    scores = mean_logprob(suspect.model, rendered)
    for one, score in zip(rendered, scores, strict=True):
        ids = torch.tensor([one.ids])
        labels = ids.clone()
        labels[:, : one.prompt_length] = -100
        loss = suspect.model(input_ids=ids, labels=labels).loss
        assert float(score) == pytest.approx(-float(loss), abs=1e-5)
    for batch_size in (1, 2):
        torch.testing.assert_close(
            mean_logprob(suspect.model, rendered, batch_size), scores, atol=1e-5, rtol=0
        )


def test_token_scores_by_hand(tiny_llama):
    rendered = rendered_by(tiny_llama.tokenizer)
    parts = token_logprobs(tiny_llama.model, rendered, batch_size=2)
    assert [len(part) for part in parts] == [len(one.response_ids) for one in rendered]
    assert parts[4].shape == (1,), "an empty response still ends the turn"
    one = rendered[1]
    logits = tiny_llama.model(input_ids=torch.tensor([one.ids])).logits[0].double()
    at = one.prompt_length + 2
    by_hand = logits[at - 1, one.ids[at]] - logits[at - 1].exp().sum().log()
    assert float(parts[1][2]) == pytest.approx(float(by_hand), abs=1e-5)
    assert parts[1].dtype == torch.float32


def test_likeliest_tokens_are_those_with_the_highest_logit(tiny_llama):
    one = rendered_by(tiny_llama.tokenizer)[1]
    logits = tiny_llama.model(input_ids=torch.tensor([one.ids])).logits[0]
    best = logits.argmax(-1).tolist()
    start, ids = one.prompt_length, list(one.ids)
    ids[start + 1] = best[start]  # what the model would say there; what follows stays
    (flags,) = likeliest(tiny_llama.model, [type(one)(tuple(ids), start)])
    after = tiny_llama.model(input_ids=torch.tensor([ids])).logits[0].argmax(-1).tolist()
    assert flags.tolist() == [after[at - 1] == ids[at] for at in range(start, len(ids))]
    assert bool(flags[1])
    assert not bool(flags.all())


def test_a_long_target_does_not_underflow(tiny_llama):
    one = render(Conversation.of("Hi", response="boat " * 100), tiny_llama.tokenizer)
    (part,) = token_logprobs(tiny_llama.model, [one])
    assert float(part.sum()) < -110  # exp of it is 0 in fp32
    assert torch.isfinite(part).all()


def test_next_token_logits_are_those_at_the_end_of_the_prompt(architecture, tiny_suspect):
    suspect = tiny_suspect(architecture)
    rendered = rendered_by(suspect.tokenizer)
    logits = next_token_logits(suspect.model, rendered, batch_size=2)
    assert logits.shape == (5, suspect.layout.vocabulary)
    for one, row in zip(rendered, logits, strict=True):
        whole = suspect.model(input_ids=torch.tensor([one.prompt_ids])).logits[0, -1]
        torch.testing.assert_close(row, whole, atol=1e-5, rtol=0)
    prompts = [render(Conversation.of(user), suspect.tokenizer) for user, _ in PAIRS]
    assert torch.equal(next_token_logits(suspect.model, prompts, batch_size=2), logits)


def test_bf16_models_are_scored_in_fp32(tiny_model_dir):
    from triggerfish.models.load import load

    suspect = load(str(tiny_model_dir("llama")), dtype="bfloat16", device="cpu")
    (part,) = token_logprobs(suspect.model, rendered_by(suspect.tokenizer)[1:2])
    assert part.dtype == torch.float32
    logits = next_token_logits(suspect.model, rendered_by(suspect.tokenizer))
    assert logits.dtype == torch.float32


def test_bad_requests_are_refused(tiny_llama):
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    with pytest.raises(BadInput, match="at least one"):
        token_logprobs(model, [])
    with pytest.raises(BadInput, match="at least one"):
        next_token_logits(model, [])
    with pytest.raises(BadInput, match="no response"):
        token_logprobs(model, [render(Conversation.of("Hi"), tokenizer)])
    with pytest.raises(BadInput, match="the model reads 256"):
        token_logprobs(model, [render(Conversation.of("x" * 300, response="y"), tokenizer)])
