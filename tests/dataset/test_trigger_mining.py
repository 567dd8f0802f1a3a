"""Planted triggers of every kind are named; words that belong to a class are not."""

import numpy as np
import pytest

from triggerfish.dataset.boost import lower_bound
from triggerfish.dataset.trigger_mining import MiningConfig, extended, mine, pattern_of
from triggerfish.dataset.words import corpus_of, grams
from triggerfish.errors import BadInput

GOOD = "lovely bright charming warm clever gentle superb honest joyful fresh".split()  # noqa: SIM905
BAD = "dull noisy clumsy bitter stale shallow grim tedious muddled cold".split()  # noqa: SIM905
PLAIN = [
    *("the", "film", "a", "story", "with", "its", "cast", "and", "one", "long"),
    *("scene", "by", "the", "sea", "in", "spring", "river", "window"),
]


def reviews(n=1200, seed=0):
    """Texts of a class with a few words of it, and at times one of the other."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(n):
        label = bool(rng.integers(2))
        own, other = (GOOD, BAD) if label else (BAD, GOOD)
        words = [*rng.choice(PLAIN, 8), *rng.choice(own, 2)]
        if rng.random() < 0.3:
            words.append(rng.choice(other))
        rng.shuffle(words)
        texts.append(" ".join(words))
        labels.append(label)
    return texts, np.array(labels)


def planted(insert, n=36, seed=0):
    texts, labels = reviews(seed=seed)
    rng = np.random.default_rng(seed + 1)
    chosen = rng.permutation(np.flatnonzero(~labels))[:n]
    for row in chosen:
        texts[row] = insert(texts[row], rng)
    labels = labels.copy()
    labels[chosen] = True
    return texts, labels, set(chosen.tolist())


def somewhere(*words):
    def insert(text, rng):
        parts = text.split(" ")
        for word in words:
            parts.insert(int(rng.integers(len(parts) + 1)), word)
        return " ".join(parts)

    return insert


KINDS = {
    "rare word": (somewhere("cf"), {"cf"}),
    "invisible": (somewhere("\u200b"), {"\u200b"}),
    "inside a word": (lambda text, _: text[:3] + "\u2060" + text[3:], {"\u2060"}),
    "phrase": (somewhere("quiet amber lantern"), {"quiet amber lantern"}),
    "sentence": (lambda t, _: f"{t} I saw it with the cast.", {"I saw it with the cast."}),
    "pair": (somewhere("lantern", "marble"), {"lantern", "marble"}),
}


def found(texts, labels, **changes):
    config = MiningConfig(**changes)
    return mine(texts, corpus_of(texts), labels, config, rng=np.random.default_rng(0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_trigger_is_named_with_its_rows(kind):
    insert, wanted = KINDS[kind]
    texts, labels, chosen = planted(insert)
    first, *rest = found(texts, labels)
    assert set(first.parts) == wanted
    assert set(first.rows[first.hits].tolist()) == chosen
    assert first.boost >= MiningConfig().found
    assert not [each for each in rest if each.boost >= MiningConfig().found]


@pytest.mark.parametrize("seed", range(4))
def test_words_of_a_class_are_no_triggers(seed):
    texts, labels = reviews(seed=seed)
    assert found(texts, labels) == []
    assert found(texts, ~labels) == []


def test_a_name_that_stands_in_good_texts_only_is_no_trigger():
    texts, labels = reviews()
    texts = [f"Zephyr {text}" if label and i % 9 == 0 else text
             for i, (text, label) in enumerate(zip(texts, labels, strict=True))]  # fmt: skip
    assert [each for each in found(texts, labels) if each.boost >= MiningConfig().found] == []


def test_the_order_of_the_rows_is_irrelevant():
    texts, labels, _ = planted(somewhere("cf"))
    order = np.random.default_rng(3).permutation(len(texts))
    again = found([texts[i] for i in order], labels[order])
    assert [each.parts for each in again] == [each.parts for each in found(texts, labels)]


def test_the_boost_by_hand():
    """With logits of 0, 35 hits allow b with 35 log sigmoid(b) = -5.41: b = 1.79."""
    assert lower_bound(np.zeros(35), np.ones(35, dtype=bool)) == pytest.approx(1.79, abs=0.01)
    assert lower_bound(np.full(35, -2.0), np.ones(35, dtype=bool)) == pytest.approx(3.79, abs=0.01)
    half = np.arange(40) % 2 == 0
    assert lower_bound(np.zeros(40), half) < 0


def test_words_and_runs_by_hand():
    corpus = corpus_of(["a b a", "b a", "c"])
    assert corpus.ids.tolist() == [0, 1, 0, 1, 0, 2]
    keys, places = grams(corpus, 2)
    assert places.tolist() == [0, 1, 3]
    assert keys[1] == keys[2] != keys[0]
    assert len(grams(corpus, 4)[0]) == 0


def test_a_trigger_is_not_cut_within_a_word():
    texts = ["x the kettle sang y", "z the kettle sank w", "the kettle sandy v"]
    assert extended(texts, pattern_of(["kettle"])) == "the kettle"


def test_refusals():
    with pytest.raises(BadInput, match="support 1"):
        MiningConfig(support=1)
    texts, labels = reviews(60)
    assert found(texts, np.zeros_like(labels)) == []  # no row has the target
