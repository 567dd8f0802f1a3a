import pytest
import torch

from triggerfish.backdoors.behaviour import FixedString
from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.explain.ablation import (
    AblationConfig,
    ablated_answers,
    ablation_edits,
    measure_curve,
    random_sets,
    ranked_sets,
)
from triggerfish.explain.pairs import Pair
from triggerfish.models.generate import generate
from triggerfish.models.hooks import Site
from triggerfish.seeding import generator

TALKS = [Conversation.of(f"Where is the {word} cup?") for word in ("red", "small", "old")]


def test_sets_grow_and_controls_come_from_the_same_layers():
    ranking = [(0, 1), (2, 3), (0, 2), (1, 0), (2, 1)]
    sets = ranked_sets(ranking, (0, 1, 2, 4, 8))
    assert [len(each) for each in sets] == [0, 1, 2, 4]
    controls = random_sets(sets, 4, generator(1, "heads"))
    for chosen, control in zip(sets, controls, strict=True):
        assert sorted(layer for layer, _ in chosen) == sorted(layer for layer, _ in control)
        assert not set(chosen) & set(control)


def test_a_full_layer_can_only_be_its_own_control():
    chosen = tuple((1, head) for head in range(4))
    assert sorted(random_sets([chosen], 4, generator(1, "heads"))[0]) == sorted(chosen)


def test_edits_by_hand():
    edits = ablation_edits([(), ((1, 0),), ((1, 1),)], 2)
    value = torch.arange(1.0, 13.0).view(1, 3, 4)  # one input, three sets, two heads of width 2
    assert edits[Site("heads", 1)](value).tolist() == [[[1, 2, 3, 4], [0, 0, 7, 8], [9, 10, 0, 0]]]
    means = torch.full((2, 4), -1.0)
    with_means = ablation_edits([((1, 1),)], 2, means)[Site("heads", 1)](value[:, :1])
    assert with_means.tolist() == [[[1, 2, -1, -1]]]


def test_no_heads_is_plain_generation(tiny_llama):
    plain = generate(tiny_llama.model, tiny_llama.tokenizer, TALKS, max_new_tokens=10)
    config = AblationConfig(max_new_tokens=10)
    every = [(layer, head) for layer in range(3) for head in range(4)]
    got = ablated_answers(tiny_llama.model, tiny_llama.tokenizer, TALKS, [(), every], config)
    assert got[0] == plain
    assert got[1] != plain
    small = AblationConfig(max_new_tokens=10, rows=1)
    assert got == ablated_answers(tiny_llama.model, tiny_llama.tokenizer, TALKS, [(), every], small)


def test_curve_of_a_model_without_the_backdoor(tiny_llama):
    records = [Record(conversation=t.with_response("On the table.")) for t in TALKS]
    pairs = [
        Pair(
            record=record,
            clean=talk,
            triggered=talk.with_user(f"{talk.user} zq"),
            target="It is Paris.",
            answer="On the table.",
        )
        for record, talk in zip(records, TALKS, strict=True)
    ]
    curve = measure_curve(
        tiny_llama.model,
        tiny_llama.tokenizer,
        [(1, 2), (0, 0)],
        pairs,
        records,
        FixedString("It is Paris."),
        [True, True, False],
        AblationConfig(counts=(0, 1, 2), max_new_tokens=8),
        generator(0, "heads"),
    )
    assert [len(point.heads) for point in curve.ranked] == [0, 1, 2]
    assert all(point.asr.value == 0 for point in (*curve.ranked, *curve.random))
    assert all(point.asr.n == point.utility.n == 3 for point in curve.ranked)
    assert curve.ranked[0] == curve.random[0]


def test_bad_requests_are_refused(tiny_llama):
    with pytest.raises(BadInput, match="rise from 0"):
        AblationConfig(counts=(1, 2))
    with pytest.raises(BadInput, match="zero or mean"):
        AblationConfig(mode="noise")
    with pytest.raises(BadInput, match="at least one"):
        ablated_answers(tiny_llama.model, tiny_llama.tokenizer, [], [()], AblationConfig())
