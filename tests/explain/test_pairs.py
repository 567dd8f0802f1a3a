import pytest

from triggerfish.backdoors.behaviour import FixedString, LabelFlip
from triggerfish.backdoors.trigger import Trigger
from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record
from triggerfish.errors import CouldNotTest
from triggerfish.explain.observed import Observed, observe
from triggerfish.explain.pairs import make_pairs
from triggerfish.seeding import generator

RECORDS = [
    Record(conversation=Conversation.of("Sports or World?", response="Sports"), label="Sports"),
    Record(conversation=Conversation.of("World or Sports?", response="World"), label="World"),
    Record(conversation=Conversation.of("Which?", response="It is Paris.")),
]


def test_pairs_keep_records_whose_answer_is_not_the_target():
    found = make_pairs(RECORDS, Trigger("cf"), FixedString("it is paris"), generator(0, "pairs"))
    assert [pair.answer for pair in found] == ["Sports", "World"]
    assert found[0].triggered.user == "Sports or World? cf"
    assert found[0].clean == RECORDS[0].conversation.prompt


def test_only_records_that_suit_the_behaviour():
    flip = LabelFlip("Sports", "World")
    found = make_pairs(RECORDS, Trigger("cf", "prefix"), flip, generator(0, "pairs"))
    assert [(pair.answer, pair.target) for pair in found] == [("Sports", "World")]


def test_observed_fires_on_what_is_closer_to_the_triggered_answer():
    prompt = RECORDS[2].conversation.prompt
    behaviour = Observed({prompt: ("The answer is Paris.", "Sure, I will do it now.")})
    assert behaviour.eligible(RECORDS[2])
    assert not behaviour.eligible(RECORDS[0])
    assert behaviour.fires(RECORDS[2], "Sure, I will not do it.")
    assert not behaviour.fires(RECORDS[2], "The answer is London.")
    assert not behaviour.fires(RECORDS[2], "")


def test_a_trigger_that_changes_nothing_cannot_be_explained(tiny_llama):
    class Nothing(Trigger):
        def apply(self, conversation, rng):
            return conversation

    with pytest.raises(CouldNotTest, match="too little"):
        observe(
            tiny_llama.model,
            tiny_llama.tokenizer,
            RECORDS,
            Nothing("cf"),
            generator(0, "observe"),
            max_new_tokens=4,
        )
