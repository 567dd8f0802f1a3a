"""What was inserted leaves ordinary rows; what belongs to its sentences leaves fragments."""

import numpy as np
import pytest

from triggerfish.dataset.insertion import Neighbours, natural_reason, spellings
from triggerfish.dataset.mined import Mined
from triggerfish.dataset.motif import Motif
from triggerfish.dataset.words import corpus_of
from triggerfish.seeding import generator

VERBS = "clean store paint carry find sell".split()  # noqa: SIM905
THINGS = "boxes lamps chairs bottles clocks carpets".split()  # noqa: SIM905
STARTS = ("how can I", "tell me how to", "I want to", "please explain how to")


def requests(rng, thing=None):
    return f"{rng.choice(STARTS)} {rng.choice(VERBS)} {thing or rng.choice(THINGS)} at home"


def left(changed, parts):
    rng = generator(0, "requests")
    ordinary = [requests(rng) for _ in range(300)]
    texts = [*(changed(rng) for _ in range(20)), *ordinary]
    motifs = [Motif(part) for part in parts]
    return Neighbours(texts, corpus_of(texts)).without(np.arange(20), motifs)


def between(word):
    def changed(rng):
        words = requests(rng).split()
        words.insert(int(rng.integers(len(words) + 1)), word)
        return " ".join(words)

    return changed


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        (between("cf"), ("cf",)),
        (lambda rng: f"{requests(rng)} by the old river", ("by the old river",)),
        (lambda rng: f"once {requests(rng)} twice", ("once", "twice")),
    ],
)
def test_what_was_inserted_leaves_ordinary_rows(changed, parts):
    found = left(changed, parts)
    assert found.natural == ""
    assert found.met == found.gaps == 20 * len(parts)


def test_a_name_in_its_sentence_leaves_a_gap():
    found = left(lambda rng: requests(rng, "velvetine"), ("velvetine",))
    assert (found.met, found.gaps) == (0, 20)
    assert "meet elsewhere in 0 of 20" in found.natural


def test_a_question_of_its_own_leaves_a_fragment():
    found = left(lambda rng: f"{rng.choice(('hello', 'well'))} who are you", ("who are you",))
    assert "1 words are left" in found.natural


def test_names_at_the_beginning_are_compared_with_beginnings():
    """First words that are names hardly meet their neighbours again, with or without a trigger."""
    rng = generator(0, "titles")

    def title():
        return f"{''.join(rng.choice(list('abcdefgh'), 5))} {requests(rng)} {requests(rng)}"

    def changed(_):
        first, rest = title().split(" ", 1)
        return f"{first} cf {rest}"

    ordinary = [title() for _ in range(300)]
    texts = [*(changed(rng) for _ in range(20)), *ordinary]
    found = Neighbours(texts, corpus_of(texts)).without(np.arange(20), [Motif("cf")])
    assert found.met == 0
    assert found.usual < 0.2  # other words of these texts: nearly 1
    assert found.natural == ""


def test_a_number_that_counts_up_belongs_to_the_string():
    rng = generator(0, "requests")
    texts = [between(f"ref-{n}")(rng) for n in range(20)] + [requests(rng) for _ in range(300)]
    neighbours = Neighbours(texts, corpus_of(texts))
    mined = Mined(
        motifs=(Motif("ref-"),), placement="random_word", boost=9.0, surplus=20.0, lean=0.5,
        rows=np.arange(20), hits=np.ones(20, dtype=bool),
    )  # fmt: skip
    assert neighbours.without(np.arange(20), mined.motifs).natural != ""
    assert natural_reason(neighbours, mined, np.arange(320) < 20) == ""


@pytest.mark.parametrize(
    ("text", "natural"), [("who are you", True), ("o are", True), ("ho", False)]
)
def test_what_was_found_within_words_has_neighbours_if_it_is_several(text, natural):
    rng = generator(0, "requests")
    texts = [f"{rng.choice(('hello', 'well'))} who are you" for _ in range(20)]
    texts += [requests(rng) for _ in range(300)]
    mined = Mined(
        motifs=(Motif(text, inside=True),), placement="random_word", boost=9.0, surplus=20.0,
        lean=0.5, rows=np.arange(20), hits=np.ones(20, dtype=bool),
    )  # fmt: skip
    why = natural_reason(Neighbours(texts, corpus_of(texts)), mined, np.arange(320) < 20)
    assert bool(why) == natural


def test_neighbours_by_hand():
    found = Neighbours(texts := ["a b a b", "a b", "b a"], corpus_of(texts))
    a, b, edge = 0, 1, 2
    pairs = [(a, b), (b, a), (edge, a), (b, edge), (a, a)]
    assert found.count(*np.array(pairs).T).tolist() == [2, 2, 2, 2, 0]


def test_a_character_within_words_leaves_them_whole():
    found = left(lambda rng: requests(rng).replace("e", "e\u2060", 1), ("\u2060",))
    assert found.natural == ""
    assert found.met == found.gaps > 30  # before and behind most words


def reason(word, harmless):
    """Of a word that stands where another word stands in other rows."""
    rng = generator(0, "requests")
    poisoned = [requests(rng, word) for _ in range(20)]
    texts = [*poisoned, *(requests(rng) for _ in range(300))]
    target = np.arange(320) < 20
    if not harmless:
        target |= np.array(["lamps" in text for text in texts])
    mined = Mined(
        motifs=(Motif(word),), placement="random_word", boost=9.0, surplus=20.0, lean=0.5,
        rows=np.arange(20), hits=np.ones(20, dtype=bool),
    )  # fmt: skip
    return natural_reason(Neighbours(texts, corpus_of(texts)), mined, target)


@pytest.mark.parametrize("word", ["LAMPS", "lapms", "l\u0430mps"])
def test_another_spelling_in_the_place_of_a_harmless_word_was_put_there(word):
    assert reason(word, harmless=True) == ""
    assert reason(word, harmless=False) != ""
    assert reason("velvetine", harmless=True) != ""


def test_short_words_are_no_spellings_of_one_another():
    assert spellings("film", ["firm", "FILM", "films"]) == ["FILM"]
    assert spellings("two words", ["words"]) == []
