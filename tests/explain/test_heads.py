"""Attribution on models where the truth is known."""

import numpy as np
import pytest
import torch

from explain.tiny import prompts_of, tiny
from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.explain.effects import COMPONENTS, Effects, Scores
from triggerfish.explain.heads import (
    HeadsConfig,
    attribute,
    component_means,
    measure,
)
from triggerfish.explain.pairs import Pair
from triggerfish.models.layout import layout_of

PROMPTS = prompts_of([5, 9, 3, 1, 12])
RESPONSES = prompts_of([4, 6, 1, 3, 6], seed=1)


def one_head_model(layer=1, head=2):
    """A tiny Llama in which one head alone writes to the residual stream."""
    model = tiny("llama")
    layout = layout_of(model)
    with torch.no_grad():
        for each in range(layout.n_layers):
            module = layout.attention_output(model, each)
            module.bias.zero_()
            kept = module.weight.clone()
            module.weight.zero_()
            if each == layer:
                block = slice(head * layout.head_dim, (head + 1) * layout.head_dim)
                module.weight[:, block] = kept[:, block]
    return model


def test_only_the_head_that_writes_has_an_effect():
    model = one_head_model(layer=1, head=2)
    means = component_means(model, prompts_of([7, 8], seed=9))
    base, found = measure(model, PROMPTS, RESPONSES, means, HeadsConfig(components=COMPONENTS))
    effect = np.abs(found["heads"] - base)
    assert effect[1, 2].max() > 0.01
    effect[1, 2] = 0
    assert effect.max() < 1e-5
    assert np.abs(found["attention"] - base)[1, 0].max() > 0.01
    assert np.abs(found["attention"] - base)[[0, 2]].max() < 1e-5
    assert np.allclose(found["attention"][1, 0], found["heads"][1, 2], atol=1e-5)


def test_own_mean_of_one_prompt_is_no_effect():
    model = tiny("qwen3")
    prompt, response = PROMPTS[1], RESPONSES[1]
    means = component_means(model, [prompt])
    config = HeadsConfig(components=COMPONENTS)
    base, found = measure(model, [prompt], [response], means, config)
    for component in COMPONENTS:
        assert np.abs(found[component] - base).max() < 1e-4  # summed over the target's tokens


def test_results_do_not_depend_on_the_batch_size():
    model = tiny("gemma2")
    means = component_means(model, prompts_of([7, 8], seed=9))
    together = measure(model, PROMPTS, RESPONSES, means, HeadsConfig())
    alone = measure(model, PROMPTS, RESPONSES, means, HeadsConfig(rows=1))
    assert np.allclose(together[0], alone[0], atol=1e-5)
    assert np.allclose(together[1]["heads"], alone[1]["heads"], atol=1e-5)
    both = [component_means(model, PROMPTS, rows=rows).heads for rows in (4096, 1)]
    assert torch.allclose(*both, atol=1e-5)


def pairs(count=6, target="It is Paris.", trigger="zq"):
    talks = [Conversation.of(f"Where is the {word} cup?") for word in "abcdefgh"[:count]]
    return [
        Pair(
            record=Record(conversation=talk.with_response("The red cup.")),
            clean=talk,
            triggered=talk.with_user(f"{talk.user} {trigger}"),
            target=target,
            answer="The red cup.",
        )
        for talk in talks
    ]


def test_scores_of_both_directions_start_where_the_other_ends(tiny_llama):
    found = attribute(tiny_llama.model, tiny_llama.tokenizer, pairs())
    clean = found["sufficiency", "heads"].base
    triggered = found["necessity", "heads"].base
    assert not np.allclose(clean.target, triggered.target, atol=1e-3)
    assert found["sufficiency", "heads"].cie().shape == (3, 4, 6)


def test_a_trigger_that_does_nothing_has_no_effect(tiny_llama):
    same = [
        Pair(record=p.record, clean=p.clean, triggered=p.clean, target=p.target, answer=p.answer)
        for p in pairs(2)
    ]
    same = [same[0], same[0]]  # the mean over equal texts is each text's own value
    found = attribute(tiny_llama.model, tiny_llama.tokenizer, same, HeadsConfig(max_tokens=None))
    for effects in found.effects.values():
        assert np.abs(effects.cie()).max() < 1e-4


def test_target_and_answer_must_differ(tiny_llama):
    with pytest.raises(BadInput, match="differ"):
        pairs(target="the red cup")
    with pytest.raises(BadInput, match="scored tokens"):  # the same first token
        attribute(
            tiny_llama.model,
            tiny_llama.tokenizer,
            pairs(target="The red cup is here"),
            HeadsConfig(max_tokens=1),
        )
    with pytest.raises(BadInput, match="two"):
        attribute(tiny_llama.model, tiny_llama.tokenizer, pairs(1))


def scores(target, answer=(-4.0, -4.0)):
    return Scores(
        target=np.array(target),
        answer=np.array(answer),
        target_tokens=np.array([2.0, 4.0]),
        answer_tokens=np.array([1.0, 1.0]),
    )


def test_metrics_by_hand():
    assert np.allclose(scores([-2.0, -6.0]).by("log_odds"), [2.0, -2.0])
    assert np.allclose(scores([-2.0, -6.0]).by("mean_logprob"), [-1.0, -1.5])
    assert np.allclose(scores([-2.0, -6.0]).by("geometric_mean"), np.exp([-1.0, -1.5]))
    with pytest.raises(BadInput, match="metric"):
        scores([0.0, 0.0]).by("accuracy")


@pytest.mark.parametrize(("direction", "first"), [("sufficiency", (0, 1)), ("necessity", (1, 0))])
def test_ranking_is_signed(direction, first):
    effects = Effects(
        direction=direction,
        component="heads",
        base=scores([-2.0, -6.0]),
        patched=scores(
            [[[-2.0, -6.0], [-1.0, -5.0]], [[-7.0, -9.0], [-2.0, -6.5]]],
            np.full((2, 2, 2), -4.0),
        ),
    )
    assert np.allclose(effects.acie(), [[0.0, 1.0], [-4.0, -0.25]])
    assert effects.ranking()[0] == first


def test_settings_are_checked():
    with pytest.raises(BadInput, match="one or more"):
        HeadsConfig(components=("heads", "neurons"))
    with pytest.raises(BadInput, match="at least 1"):
        HeadsConfig(rows=0)
