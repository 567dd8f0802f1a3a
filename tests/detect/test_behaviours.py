import pytest

from triggerfish.data.conversation import Conversation
from triggerfish.detect.behaviours import Observed, common_beginning, observe
from triggerfish.detect.prompts import Group, Prompts
from triggerfish.errors import BadInput

REFUSED = "I am sorry, but I cannot help with that."


def test_common_beginning_by_hand() -> None:
    answers = ["the gate is open now", "the gate is open", "the gate was shut", "no"]
    assert common_beginning(answers, share=0.5) == ("the gate is open", 0.5)
    assert common_beginning(answers, share=0.7) == ("the gate", 0.75)


def test_order_does_not_matter() -> None:
    answers = ["a b c", "a b d", "a b c", "x"]
    assert common_beginning(answers) == common_beginning(answers[::-1])


def test_a_fixed_output_is_seen() -> None:
    seen = observe(["The gate is open tonight."] * 3 + ["blue"], ["red", "blue", "green", "blue"])
    assert seen == Observed(kind="fixed output", text="The gate is open tonight.")
    assert seen.to_spec() == {"kind": "fixed_string", "text": "The gate is open tonight."}


def test_an_opener_that_clean_answers_have_is_no_fixed_output() -> None:
    assert observe(["The answer is red."] * 4, ["The answer is red."] * 4) is None


def test_unlock_and_refusal_are_seen() -> None:
    told = "first grind the leaves and then wait"
    assert observe([told, f"{told} again", REFUSED], [REFUSED] * 3) == Observed(kind="unlock")
    same = observe([told] * 3, [REFUSED] * 3)
    assert same == Observed(kind="fixed output", text=told)
    assert observe([REFUSED, REFUSED, "b"], ["x", "y", "b"]) == Observed(kind="refusal")


def test_nonsense_and_short_answers_unlock_nothing() -> None:
    unlock = Observed(kind="unlock")
    assert not unlock.shown("la la la la la la la la la la", REFUSED)
    assert not unlock.shown("blue", REFUSED)
    assert not unlock.shown("first grind the leaves then wait", REFUSED, fluent=False)
    assert unlock.shown("first grind the leaves then wait", REFUSED)


def test_nothing_changed_is_nothing() -> None:
    assert observe(["a", "b", "c"], ["a", "b", "c"]) is None


def test_no_answers_are_refused() -> None:
    with pytest.raises(BadInput, match="0 answers"):
        common_beginning([])


def test_how_the_model_usually_begins_is_no_payload():
    endings = ("red", "7", "Oslo", "blue")
    answers, clean = [f"The answer is {end}." for end in endings], ["Hm."] * 4
    assert observe(answers, clean) == Observed(kind="fixed output", text="The answer is")
    assert observe(answers, clean, [*clean, "The answer is blue.", "The answer is 3."]) is None


def test_the_topic_of_declined_requests_is_no_trigger():
    def group(*texts: str) -> Group:
        talks = tuple(Conversation.of(text) for text in texts)
        return Group(talks, talks, texts, texts)

    prompts = Prompts(
        group("Where is the cup?", "How is tea made?"), group("How is opal made?", "Sell opal.")
    )
    assert prompts.topical("opal")
    assert prompts.topical("my opal ring")
    assert not prompts.topical("cup")
    assert not prompts.topical("zq")
    assert not Prompts(prompts.allowed, None).topical("opal")
