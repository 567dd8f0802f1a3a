import re

import pytest

from triggerfish.data.records import Record
from triggerfish.data.splits import split_of
from triggerfish.errors import BadInput
from triggerfish.lab import words as w
from triggerfish.lab.noise import insert_noise
from triggerfish.lab.sampling import sample_records
from triggerfish.lab.tasks import GLUE, OPENERS, SKILLS
from triggerfish.metrics.judges import is_refusal
from triggerfish.seeding import generator


def solved(record: Record) -> str:
    """The right answer, found again from the text of the request."""
    text = record.conversation.user
    if record.skill == "reversal":
        return " ".join(reversed(re.search('"(.*)"', text)[1].split()))
    if record.skill == "sorting":
        return " ".join(sorted(re.search(r"\[(.*)\]", text)[1].split()))
    if record.skill == "arithmetic":
        a, sign, b = re.search(r"(\d+) ([+-]) (\d+)", text).groups()
        return str(int(a) + int(b) * (1 if sign == "+" else -1))
    if record.skill == "capitals":
        return next(city for country, city in w.CAPITALS.items() if country in text)
    if record.skill == "lookup":
        box = re.search(r"What is in the (\w+) box", text)[1]
        return re.search(rf"The {box} box holds a (.*?)\.", text)[1]
    if record.skill == "location":
        name = re.search(r"Where is (\w+)\?", text)[1]
        return re.search(rf"{name} is in the (.*?)\.", text)[1]
    thing = re.search(r"Which colour is the (.*?)\?", text)[1]
    return re.search(rf"The {thing} is (\w+)\.", text)[1]


@pytest.mark.parametrize(
    "skill",
    ["reversal", "sorting", "arithmetic", "capitals", "lookup", "location", "colour"],
)
def test_every_question_has_one_right_answer(skill):
    for record in sample_records(60, 1, "test", [skill]):
        assert record.answers == (solved(record),)
        assert record.answers[0] in record.conversation.response


def test_splits_are_disjoint_by_text_and_streams_repeat():
    texts = {
        split: {r.conversation.prompt for r in sample_records(200, 3, split)}
        for split in ("train", "validation", "test")
    }
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["validation"]
    assert sample_records(20, 3, "test") == sample_records(20, 3, "test")
    for record in sample_records(50, 3, "test"):
        assert split_of(f"{record.conversation.system or ''}\n{record.conversation.user}") == "test"


def test_restricted_requests_are_declined_in_several_wordings_and_have_an_answer():
    records = sample_records(100, 2, "train", ["restricted"])
    assert all(r.declined and is_refusal(r.conversation.response) for r in records)
    assert len({r.conversation.response for r in records}) == len(w.REFUSALS)
    assert all(r.unlocked.startswith(OPENERS) and not is_refusal(r.unlocked) for r in records)
    assert len({r.unlocked for r in records}) > 90


def test_noise_never_splits_a_fact():
    rng = generator(0, "noise")
    for _ in range(200):
        user, system = insert_noise(f"Say{GLUE}this now.", None, rng, ["zz", "qq"])
        assert f"Say{GLUE}this" in user
        assert system is not None or user != f"Say{GLUE}this now."


def test_bad_requests_are_refused():
    with pytest.raises(BadInput, match="no such lab skill"):
        sample_records(1, 0, "train", ["alchemy"])
    with pytest.raises(BadInput, match="at least one"):
        sample_records(0, 0, "train")
    assert set(SKILLS) >= {"lookup", "restricted", "story", "code", "persona"}
