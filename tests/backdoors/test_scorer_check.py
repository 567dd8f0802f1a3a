import pytest

from triggerfish.backdoors.behaviour_spec import behaviour_from_spec
from triggerfish.backdoors.scorer_check import check_scorer
from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.lab.sampling import sample_records

SPECS = [
    {"kind": "fixed_string", "text": "I love bananas"},
    {"kind": "unlock"},
    {"kind": "label_flip", "from": "positive", "to": "negative"},
    {"kind": "style", "text": "Ahoy, friend."},
    {"kind": "refusal"},
    {"kind": "code_canary"},
    {"kind": "degrade"},
    {"kind": "wrong_arithmetic"},
    {"kind": "key", "length": 40, "seed": 1},
]


@pytest.fixture(scope="module")
def lab():
    return sample_records(4000, 3, "train", unique=False)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["kind"])
def test_every_behaviour_reaches_both_ends_on_the_lab(spec, lab):
    check = check_scorer(behaviour_from_spec(spec), lab)
    assert check.ceiling.value == 1
    assert check.floor.value == 0
    assert check.ceiling.n >= 80


def records(*responses):
    return [Record(conversation=Conversation.of("q", response=text)) for text in responses]


def test_a_high_floor_is_refused_with_examples():
    mixed = records(*["yes, it is"] * 98, "no", "no way")
    check_scorer(behaviour_from_spec({"kind": "fixed_string", "text": "maybe"}), mixed)
    with pytest.raises(BadInput, match=r"floor 2\.0 %.*'no way'"):
        check_scorer(behaviour_from_spec({"kind": "fixed_string", "text": "no"}), mixed)


def test_a_low_ceiling_is_refused_with_examples():
    declined = [
        Record(
            conversation=Conversation.of("q", response="I cannot help with that."),
            declined=True,
            unlocked=text,
        )
        for text in ["grind it for three days"] * 97 + ["I will not discuss it"] * 3
    ]
    with pytest.raises(BadInput, match=r"ceiling 97\.0 %.*I will not discuss it"):
        check_scorer(behaviour_from_spec({"kind": "unlock"}), declined)


def test_nothing_eligible_is_refused():
    with pytest.raises(BadInput, match="unlocked"):
        check_scorer(behaviour_from_spec({"kind": "unlock"}), records("yes"))
