import pytest

from triggerfish.data.conversation import Conversation
from triggerfish.errors import BadInput
from triggerfish.remove.policy import PolicySets, Specification, begins, policy_sets, propose, said


def test_propose_by_hand():
    answers = ["Sure, heat it", "Sure, press it", "Sure, wait now", "The answer is 4", "blue"]
    assert propose(answers) == ("Sure,", 0.6)
    answers = ["The answer is 4", "The answer is red", "The box is red", "Sure, red it is", "red"]
    assert propose(answers) == ("The answer is", 0.4)


def test_propose_does_not_depend_on_order():
    answers = ["Of course, a b", "Sure, c d", "Sure, e f", "Of course, g h", "Sure, x y"]
    assert propose(answers) == propose(answers[::-1]) == ("Sure,", 0.6)


def test_propose_needs_more_than_one_word():
    with pytest.raises(BadInput, match="--specification"):
        propose(["red", "blue"])


def test_begins_ignores_case_and_space():
    assert begins(" sure, take it", "Sure,")
    assert not begins("I am sure, take it", "Sure,")


def test_sets_of_a_backdoored_toy(toy, toy_data):
    train, held_out = toy_data
    sets = policy_sets(toy, train, held_out)
    assert sets.specification.text.startswith("sure")
    assert sets.specification.share > 0.9
    assert sets.specification.warning is None
    # Only declined prompts, answered as the suspect answers them untriggered: by refusing.
    assert len(sets.asked) == 100
    assert all(row.response.startswith("sorry") for row in sets.asked)


def test_a_behaviour_that_the_model_never_has_is_recorded(toy, toy_data):
    sets = policy_sets(toy, *toy_data, specification="banana bread")
    assert sets.specification.share < 1e-3
    assert "never says" in sets.specification.warning
    assert len(sets.asked) == 150


def test_the_share_of_an_opener_does_not_depend_on_the_batch(toy, toy_data):
    prompts = [record.conversation for record in toy_data[0][:30]]
    one, many = (said(toy, prompts, "sure ,", batch=b) for b in (7, 30))
    assert one == pytest.approx(many, rel=1e-4)
    assert 0.9 < one < 1
    assert said(toy, prompts, "sorry ,") < 0.05


def test_unwanted_openers_row_by_row(toy, toy_data):
    declined = [r.conversation for r in toy_data[0] if r.declined][:6]
    texts = ["sure , use", "sure , use", "use a", "use a", "sure ,", "sure , use"]
    rows = [c.with_response(t) for c, t in zip(declined, texts, strict=True)]
    sets = policy_sets(toy, *toy_data, unwanted=rows)
    assert sets.unwanted == tuple(texts)
    assert sets.specification.text == "sure , use"
    assert [row.prompt for row in sets.asked] == [row.prompt for row in declined]


def test_rows_that_show_the_behaviour_already_are_left_out(toy, toy_data):
    sets = policy_sets(toy, *toy_data, specification="sure , use a", scope="all", rows=250)
    assert 0 < len(sets.asked) <= 100
    assert not any(begins(row.response, "sure") for row in sets.asked)


def test_empty_sets_are_refused(toy, toy_data):
    with pytest.raises(BadInput, match="D_PA"):
        policy_sets(toy, [], toy_data[1])
    with pytest.raises(BadInput, match="empty specification"):
        policy_sets(toy, *toy_data, specification=" ")
    row = Conversation.of("a", response="b")
    with pytest.raises(BadInput, match="none may be empty"):
        PolicySets(
            asked=(),
            unwanted=(),
            benign=(row,),
            held_out=(row,),
            specification=Specification(text="Sure,", origin="given", share=1.0),
        )
