import time

import pytest
import torch

from triggerfish.data.conversation import Conversation, render
from triggerfish.errors import BadInput
from triggerfish.models.generate import Sampling, generate
from triggerfish.models.hooks import Site, edit
from triggerfish.models.layout import layout_of

PROMPTS = [
    "Hi",
    "Where is the red cup?",
    "Tell me a short story about a small boat that sailed over the quiet lake at night.",
    "What is 12 plus 7?",
    "Sort these words: pear, apple, fig, melon.",
    "zq",
    "What is the capital of France? It is Paris.",
]
TALKS = [Conversation.of(text) for text in PROMPTS]


def test_greedy_answers_are_those_of_a_plain_loop_at_any_batch_size(architecture, tiny_suspect):
    suspect = tiny_suspect(architecture)
    model, tokenizer = suspect.model, suspect.tokenizer
    answers = generate(model, tokenizer, TALKS, max_new_tokens=12, batch_size=64)
    for batch_size in (1, 3):
        assert answers == generate(
            model, tokenizer, TALKS, max_new_tokens=12, batch_size=batch_size
        )
    for talk, answer in list(zip(TALKS, answers, strict=True))[:4]:
        ids = list(render(talk, tokenizer).ids)
        new = []
        for _ in range(12):
            logits = model(input_ids=torch.tensor([ids + new]), use_cache=False).logits
            new.append(int(logits[0, -1].argmax()))
            if new[-1] == tokenizer.eos_token_id:
                break
        assert tokenizer.decode(new, skip_special_tokens=True) == answer
    assert len(set(answers)) > 2


def test_order_does_not_matter_and_equal_prompts_get_equal_answers(tiny_llama):
    answers = generate(tiny_llama.model, tiny_llama.tokenizer, TALKS, max_new_tokens=8)
    turned = generate(
        tiny_llama.model, tiny_llama.tokenizer, [*TALKS[::-1], TALKS[0]], max_new_tokens=8
    )
    assert turned == [*answers[::-1], answers[0]]


def test_it_stops_at_the_end_of_the_turn_and_goes_on_for_the_others(tiny_llama):
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    whole = generate(model, tokenizer, TALKS, max_new_tokens=20)
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in whole]
    stop = ids[1][3]  # a token that the second answer reaches early
    rendered = model.generation_config.eos_token_id
    try:
        model.generation_config.eos_token_id = [stop]
        assert generate(model, tokenizer, TALKS, max_new_tokens=20) == whole, "no control token"
        tokenizer_stop = _with_control(tokenizer, stop)
        short = generate(model, tokenizer_stop, TALKS, max_new_tokens=20, batch_size=7)
        one_by_one = generate(model, tokenizer_stop, TALKS, max_new_tokens=20, batch_size=1)
    finally:
        model.generation_config.eos_token_id = rendered
    assert short == one_by_one
    assert len(short[1]) < len(whole[1])


def _with_control(tokenizer, number):
    class Control:
        def __init__(self):
            self.chat_template = tokenizer.chat_template
            self.all_special_ids = [*tokenizer.all_special_ids, number]

        def __getattr__(self, name):
            return getattr(tokenizer, name)

        def __len__(self):
            return len(tokenizer)

    return Control()


def test_sampling_depends_on_the_seed_and_not_on_the_batch(tiny_llama):
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    state = torch.random.get_rng_state()

    def draw(seed, **changes):
        settings = {"max_new_tokens": 10, "sampling": Sampling(temperature=1.5, top_p=0.9)}
        return generate(model, tokenizer, TALKS, seed=seed, **{**settings, **changes})

    assert draw(1) == draw(1, batch_size=2)
    assert draw(1) != draw(2)
    assert torch.equal(torch.random.get_rng_state(), state)
    greedy = generate(model, tokenizer, TALKS, max_new_tokens=10)
    assert draw(1, sampling=Sampling(temperature=1e-4)) == greedy
    assert draw(1, sampling=Sampling(top_p=1e-9)) == greedy


def test_sampled_tokens_follow_the_distribution(tiny_llama):
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    talk = Conversation.of("Hi")
    logits = model(input_ids=torch.tensor([render(talk, tokenizer).ids])).logits[0, -1] / 2
    best = int(logits.argmax())
    share = float(logits.softmax(-1)[best])
    drawn = generate(
        model, tokenizer, [talk] * 600, max_new_tokens=1, sampling=Sampling(temperature=2.0)
    )
    hits = drawn.count(tokenizer.decode([best])) / 600
    assert hits == pytest.approx(share, abs=4 * (share * (1 - share) / 600) ** 0.5)


def test_an_edit_applies_to_prompt_and_new_tokens(tiny_llama):
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    lengths = []

    def zero(x):
        lengths.append(x.shape[1])
        return torch.zeros_like(x)

    plain = generate(model, tokenizer, TALKS, max_new_tokens=5)
    with edit(model, {Site("residual", 2): zero}):
        edited = generate(model, tokenizer, TALKS, max_new_tokens=5)
    assert edited != plain
    assert lengths[0] > 1
    assert lengths[1:] == [1] * 4
    assert generate(model, tokenizer, TALKS, max_new_tokens=5) == plain


def test_the_model_comes_back_unchanged(tiny_llama):
    model = tiny_llama.model
    model.model.layers[1].train()
    try:
        generate(model, tiny_llama.tokenizer, TALKS[:1], max_new_tokens=2)
        assert [m.training for m in model.model.layers] == [False, True, False]
    finally:
        model.eval()


def test_the_context_ends_an_answer_and_refuses_a_prompt(tiny_llama):
    model, tokenizer, context = tiny_llama.model, tiny_llama.tokenizer, tiny_llama.layout.context
    around = len(render(Conversation.of("x"), tokenizer).ids) - 1
    talk = Conversation.of("x" * (context - around - 3))
    assert len(render(talk, tokenizer).ids) == context - 3
    new = generate(model, tokenizer, [talk, TALKS[0]], max_new_tokens=9)
    assert new[0] == generate(model, tokenizer, [talk], max_new_tokens=3)[0]
    assert new[1] == generate(model, tokenizer, [TALKS[0]], max_new_tokens=9)[0]
    with pytest.raises(BadInput, match="shorten the prompt or the trigger"):
        generate(model, tokenizer, [Conversation.of("x" * context)])


def test_bad_requests_are_refused(tiny_llama):
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    with pytest.raises(BadInput, match="at least one"):
        generate(model, tokenizer, [])
    with pytest.raises(BadInput, match="max_new_tokens 0"):
        generate(model, tokenizer, TALKS, max_new_tokens=0)
    with pytest.raises(BadInput, match="batch size 0"):
        generate(model, tokenizer, TALKS, batch_size=0)
    with pytest.raises(BadInput, match="temperature"):
        Sampling(temperature=0)
    with pytest.raises(BadInput, match="top_p"):
        Sampling(top_p=0)


def test_progress_ends_at_the_total(tiny_llama):
    seen = []
    generate(
        tiny_llama.model,
        tiny_llama.tokenizer,
        [*TALKS, *TALKS],
        max_new_tokens=2,
        batch_size=3,
        progress=lambda done, total, _: seen.append((done, total)),
    )
    assert seen[-1] == (14, 14)
    assert len(seen) == 3


def test_it_is_no_slower_than_the_librarys_own(tiny_llama):
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    start = time.process_time()
    generate(model, tokenizer, TALKS, max_new_tokens=32)
    ours = time.process_time() - start
    ids = torch.tensor([render(TALKS[2], tokenizer).ids] * len(TALKS))
    start = time.process_time()
    model.generate(ids, max_new_tokens=32, do_sample=False, pad_token_id=0)
    assert ours < 3 * (time.process_time() - start)
    assert layout_of(model) == tiny_llama.layout
