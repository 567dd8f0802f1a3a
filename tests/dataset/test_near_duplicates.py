"""Edited copies are one piece of evidence; other texts with a common frame are not."""

import numpy as np
import pytest

from triggerfish.dataset.content import presence
from triggerfish.dataset.near_duplicates import distinct
from triggerfish.dataset.words import WORD, corpus_of

WORDS = [f"w{n}" for n in range(3000)]


def drawn(rng, n=18):
    return list(rng.choice(WORDS, n))


def kept(texts, left_out=""):
    corpus = corpus_of(texts)
    own = [corpus.numbers[word] for word in WORD.findall(left_out)]
    return distinct(presence(corpus), np.array(own, dtype=np.int64))


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


def test_copies_with_edits_count_once():
    texts, source = copies(np.random.default_rng(0))
    found = kept(texts)
    assert len(set(source[found])) == 50
    assert len(found) <= 57


def test_different_texts_all_count():
    rng = np.random.default_rng(1)
    assert len(kept([" ".join(drawn(rng)) for _ in range(300)])) == 300


@pytest.mark.parametrize("frame", [30, 120])
def test_the_string_itself_makes_no_duplicates(frame):
    rng = np.random.default_rng(2)
    long = " ".join(f"frame{n}" for n in range(frame))
    texts = [f"{long} {' '.join(drawn(rng))}" for _ in range(60)]
    assert len(kept(texts, long)) == 60
    same = [f"{long} a small harbour", f"{long} a large garden"]
    assert (len(kept(same)), len(kept(same, long))) == (1, 2)


def test_texts_of_nothing_but_the_string_count_once():
    assert kept(["a b", "a b", "a b c"], "a b").tolist() == [0, 2]
