"""What was inserted leaves ordinary rows; what belongs to its sentences leaves fragments."""

import numpy as np
import pytest

from triggerfish.dataset.insertion import Neighbours
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
    return Neighbours(corpus_of(texts)).without(np.arange(20), parts)


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


def test_neighbours_by_hand():
    found = Neighbours(corpus_of(["a b a b", "a b", "b a"]))
    a, b, edge = 0, 1, 2
    pairs = [(a, b), (b, a), (edge, a), (b, edge), (a, a)]
    assert found.count(*np.array(pairs).T).tolist() == [2, 2, 2, 2, 0]
