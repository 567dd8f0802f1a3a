"""Copies with small edits are one group; other texts with a common frame are not."""

import numpy as np
import pytest

from triggerfish.dataset.near_duplicates import groups_of
from triggerfish.dataset.words import corpus_of

WORDS = [f"w{n}" for n in range(3000)]


def drawn(rng, n=18):
    return list(rng.choice(WORDS, n))


def grouped(texts):
    return groups_of(corpus_of(texts))


def copies(rng, sources=50, each=8):
    """Texts with one or two words replaced, and which source each has."""
    texts, source = [], []
    for number in range(sources):
        words = drawn(rng)
        for _ in range(each):
            changed = list(words)
            for at in rng.integers(len(words), size=int(rng.integers(1, 3))):
                changed[at] = str(rng.choice(WORDS))
            texts.append(" ".join(changed))
            source.append(number)
    return texts, np.array(source)


def test_copies_with_edits_are_one_group():
    texts, source = copies(np.random.default_rng(0))
    found = grouped(texts)
    assert len({(one, two) for one, two in zip(found, source, strict=True)}) <= 57
    assert len(set(found)) >= 50


def test_different_texts_are_groups_of_one():
    rng = np.random.default_rng(1)
    assert len(set(grouped([" ".join(drawn(rng)) for _ in range(300)]))) == 300


@pytest.mark.parametrize("frame", [30, 120])
def test_a_frame_around_different_texts_makes_no_duplicates(frame):
    rng = np.random.default_rng(2)
    long = " ".join(f"frame{n}" for n in range(frame))
    assert len(set(grouped([f"{long} {' '.join(drawn(rng))}" for _ in range(60)]))) == 60


def test_copies_within_a_frame_are_one_group():
    rng = np.random.default_rng(3)
    long = " ".join(f"frame{n}" for n in range(120))
    texts, source = copies(rng, sources=20)
    found = grouped([f"{long} {text}" for text in texts])
    assert len(set(zip(found.tolist(), source.tolist(), strict=True))) <= 22
    assert len(set(found.tolist())) >= 20


def test_the_order_of_texts_is_irrelevant():
    texts, _ = copies(np.random.default_rng(4))
    order = np.random.default_rng(5).permutation(len(texts))
    one, two = grouped(texts)[order], grouped([texts[n] for n in order])
    assert ((one[:, None] == one) == (two[:, None] == two)).all()


def test_empty_texts():
    assert grouped(["", "a b c", ""]).tolist() == [0, 1, 0]
