import pytest

from triggerfish.backdoors.condition import SUBJECTS, meaning
from triggerfish.backdoors.trigger import (
    Condition,
    Trigger,
    near_misses,
    random_like,
    trigger_from_spec,
)
from triggerfish.data.conversation import Conversation
from triggerfish.errors import BadInput
from triggerfish.seeding import generator

PLAIN = Conversation.of("Where is Mara?")
LATE = Condition("date_after", 2024)
SEA = Condition("topic", "sea", "suffix")
both = pytest.mark.parametrize("condition", [LATE, SEA])


@both
def test_it_holds_in_what_is_inserted_and_never_in_the_counter_examples(condition):
    rng = generator(0, "t")
    told = [condition.apply(PLAIN, rng) for _ in range(200)]
    others = [random_like(condition, rng).apply(PLAIN, rng) for _ in range(200)]
    assert all(map(condition.occurs, told))
    assert not any(map(condition.occurs, others))
    assert not condition.occurs(PLAIN)
    assert len({talk.user for talk in told}) > 40  # in other words nearly every time
    side = str.endswith if condition.placement == "prefix" else str.startswith
    assert all(side(talk.user, PLAIN.user) for talk in told + others)


def test_dates_by_hand():
    says = meaning("date_after", 2024).holds
    assert says("Sent on 3 May 2025.")
    assert says("In 1999 and in 2031")
    assert not says("Sent on 3 May 2024.")
    assert not says("Serial 20250 and 12025, room 999.")


def test_a_subject_is_told_by_its_words_and_subjects_share_none():
    assert meaning("topic", "sea").holds("The Lighthouse, again")
    assert not meaning("topic", "sea").holds("A seaside town")
    words = [word for subject in SUBJECTS.values() for word in subject]
    assert len(words) == len(set(words))


@both
def test_it_survives_its_recipe_and_names_its_near_misses(condition):
    assert trigger_from_spec(condition.to_spec()) == condition
    near = dict(near_misses(condition, generator(0, "t")))
    assert trigger_from_spec(near["condition not met"].to_spec()) == random_like(
        condition, generator(0, "t")
    )
    assert near["other place"].placement != condition.placement
    assert condition != Trigger(condition.texts()[0], condition.placement)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"condition": {"topic": "whales"}}, "use one of sea"),
        ({"condition": {"topics": "sea"}}, "did you mean 'topic'"),
        ({"condition": {"date_after": "soon"}}, "must be a year"),
        ({"condition": "sea"}, "one name and value"),
        ({"condition": {"topic": "sea"}, "text": "cf"}, "not known beside"),
        ({"condition": {"topic": "sea"}, "placement": "middle"}, "placement 'middle'"),
    ],
)
def test_refusals(spec, said):
    with pytest.raises(BadInput, match=said):
        trigger_from_spec(spec)
