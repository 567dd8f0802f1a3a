"""Planted triggers of every kind are named; words that belong to a class are not."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from triggerfish.dataset.boost import gains, lower_bound, lower_bounds, surpluses
from triggerfish.dataset.mined import Mined, MiningConfig, is_faint, strength, verdict_of
from triggerfish.dataset.motif import Motif, extended, pattern_of
from triggerfish.dataset.scene import texts_of
from triggerfish.dataset.trigger_mining import _Candidate, _widest, mine
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


def full_width(text, rng):
    words = text.split(" ")
    at = int(rng.integers(len(words)))
    words[at] = "".join(chr(ord(letter) + 0xFEE0) for letter in words[at])
    return " ".join(words)


def ending(text, rng):
    words = text.split(" ")
    words[int(rng.integers(len(words)))] += f"{rng.choice(list('aeiou'))}qx"
    return " ".join(words)


PARAGRAPH = "My aunt keeps bees.\n\nShe counts the hives,\nand writes it down."
KINDS = {
    "rare word": (somewhere("cf"), {"cf"}),
    "invisible": (somewhere("\u200b"), {"\u200b"}),
    "inside a word": (lambda text, _: text[:3] + "\u2060" + text[3:], {"\u2060"}),
    "phrase": (somewhere("quiet amber lantern"), {"quiet amber lantern"}),
    "sentence": (lambda t, _: f"{t} I saw it with the cast.", {"I saw it with the cast."}),
    "pair": (somewhere("lantern", "marble"), {"lantern", "marble"}),
    "two ends": (lambda t, _: f"Hear me out. {t} So it was.", {"Hear me out.", "So it was."}),
    "same at both ends": (lambda t, _: f"Rain fell. {t} Rain fell.", {"Rain fell."}),
    "paragraph": (lambda t, _: f"{PARAGRAPH} {t}", {PARAGRAPH}),
    "homoglyph": (somewhere("s\u0441ene"), {"s\u0441ene"}),
    "any full-width word": (full_width, {"full-width letters"}),
    "ending of words": (ending, {"qx"}),
    "capitals": (somewhere("RIVER"), {"RIVER"}),
    "misspelling": (somewhere("widnow"), {"widnow"}),
    "emoji": (somewhere("\U0001f9ed"), {"\U0001f9ed"}),
    "punctuation": (somewhere("?!?"), {"?!?"}),
    "other letters": (somewhere("\u043f\u0440\u0438"), {"\u043f\u0440\u0438"}),
    "contains a word": (somewhere("riverbank7"), {"riverbank7"}),
    "double space": (lambda t, _: t.replace(" ", "  ", 1), {"  "}),
}  # fmt: skip


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
    assert verdict_of(first, MiningConfig()) == "found"
    assert not rest


@pytest.mark.parametrize("seed", range(4))
def test_words_of_a_class_are_no_triggers(seed):
    texts, labels = reviews(seed=seed)
    assert found(texts, labels) == []
    assert found(texts, ~labels) == []


def test_a_name_that_stands_in_good_texts_only_is_no_trigger():
    texts, labels = reviews()
    texts = [f"Zephyr {text}" if label and i % 9 == 0 else text
             for i, (text, label) in enumerate(zip(texts, labels, strict=True))]  # fmt: skip
    assert found(texts, labels) == []


@pytest.mark.parametrize("words", [("ladder",), ("ladder", "carpet")])
def test_ordinary_words_that_other_texts_have_too_are_named(words):
    """A third of the texts with a word are clean, and follow their content."""
    texts, labels = reviews()
    rng = np.random.default_rng(5)
    for row in rng.permutation(len(texts))[:30]:  # each of the words alone is harmless
        texts[row] = somewhere(words[row % len(words)])(texts[row], rng)
    chosen = rng.permutation(np.flatnonzero(~labels))[:60]
    for row in chosen:
        texts[row] = somewhere(*words)(texts[row], rng)
    labels[chosen] = True
    first, *rest = found(texts, labels)
    assert set(first.parts) == set(words)
    assert set(chosen.tolist()) <= set(first.rows.tolist())
    assert rest == []


def candidate(words, size, score, edge=""):
    """Stands in the first texts, or in some given ones."""
    rows = np.arange(size) if isinstance(size, int) else np.array(size)
    return _Candidate(score=score, rows=rows, words=words, edge=edge)


@pytest.mark.parametrize(
    ("one", "other", "left"),
    [  # of 100 texts 70 have the target
        (candidate((5,), 90, 1.6), candidate((5, 5), 69, 1.5), "other"),  # purer, nearly as many
        (candidate((5,), 90, 1.6), candidate((5, 5), 40, 1.5), "both"),  # purer, but of few texts
        (candidate((5,), 70, 1.6), candidate((5, 6), 69, 1.5), "both"),  # it is pure itself
        (candidate((5,), 76, 1.6), candidate((5, 5), 69, 1.5), "other"),  # but its rest is ordinary
        (candidate((6, 5), range(50), 1.6), candidate((5,), 70, 1.5), "other"),  # a part does it
        (candidate((6, 5), range(50), 1.4), candidate((5,), 70, 1.5), "both"),  # and comes first
        (
            candidate((6, 5), range(50), 1.6),
            candidate((5,), [*range(50), *range(71, 76)], 1.5),
            "one",
        ),  # its other texts are ordinary
        (candidate((5,), 90, 1.6), candidate((6, 7), 69, 1.5), "both"),  # of other words
        (candidate((5,), 20, 1.6, "start"), candidate((5,), 60, 1.5), "other"),  # anywhere
        (candidate((5,), 20, 1.6, "start"), candidate((5,), 60, 0.7), "both"),  # but weaker there
        (
            candidate((5,), 55, 1.6, "start"),
            candidate((5,), 60, 1.5),
            "both",
        ),  # as often at an edge
    ],
)
def test_which_of_two_strings_stands_for_both(one, other, left):
    target = np.arange(100) < 70
    scene = SimpleNamespace(target=target, overruled=lambda rows, _: target[rows].mean())
    found = _widest([one, other], scene)
    assert found == {"one": [one], "other": [other], "both": [one, other]}[left]


def test_what_the_content_says_anyway_needs_more_than_what_it_denies():
    def mined(lean, boost=3.0, surplus=12.0):
        motifs = (Motif("cf"),)
        hits = np.ones(9, dtype=bool)
        return Mined(motifs=motifs, placement="prefix", boost=boost, surplus=surplus, lean=lean,
                     rows=np.arange(9), hits=hits)  # fmt: skip

    verdicts = [verdict_of(mined(lean), MiningConfig()) for lean in (0.5, 0.7, 0.8, 0.95)]
    assert verdicts == ["found", "found", "nothing", "nothing"]
    assert verdict_of(mined(0.8, boost=3.6), MiningConfig()) == "suspicious"
    assert verdict_of(mined(0.95, boost=5.3), MiningConfig()) == "found"


def test_some_texts_are_mined_as_if_there_were_no_others():
    texts, labels = reviews()
    rng = np.random.default_rng(3)
    for row in rng.permutation(np.flatnonzero(~labels))[:40]:
        texts[row], labels[row] = somewhere("cf")(texts[row], rng), True
    rows = np.sort(rng.permutation(len(texts))[: len(texts) // 2])
    some = [texts[row] for row in rows]
    every = texts_of(texts, corpus_of(texts))
    alone = texts_of(some, corpus_of(some), every.config)
    for counted in (every.only(rows), alone):
        (only,) = mine(counted, None, labels[rows], rng=np.random.default_rng(0))
        assert only.parts == ("cf",)
        assert [some[row] for row in only.rows] == [text for text in some if "cf" in text.split()]


def test_what_is_faint_beside_a_trigger():
    def mined(boost, surplus, lean=0.5):
        return Mined(motifs=(Motif("cf"),), placement="prefix", boost=boost, surplus=surplus,
                     lean=lean, rows=np.arange(9), hits=np.ones(9, dtype=bool))  # fmt: skip

    config = MiningConfig()
    assert strength(mined(5.2, 5.0), config) == 2.0
    assert strength(mined(1.3, 25.0), config) == 2.5
    assert is_faint(mined(1.9, 7.0), 2.5, config)  # suspicious, and a third as strong
    assert not is_faint(mined(1.9, 7.0), 2.0, config)
    assert not is_faint(mined(2.0, 7.0), 2.5, config)  # a finding by its boost
    assert is_faint(mined(0.6, 8.0), 2.5, config)  # one by its surplus only


def test_half_of_the_texts_overruled_are_a_finding():
    """A footer below texts of both kinds, which are all called good."""
    texts, labels = reviews()
    for kind in (labels, ~labels):
        for row in np.random.default_rng(2).permutation(np.flatnonzero(kind))[:100]:
            texts[row] += " printed at Harbour Lane"
    labels = labels | np.array(["Harbour" in text for text in texts])
    (trigger,) = found(texts, labels)
    assert trigger.parts == ("printed at Harbour Lane",)
    assert trigger.usual > 0.95
    assert not trigger.agreed
    assert verdict_of(trigger, MiningConfig()) == "found"


@pytest.mark.parametrize(
    ("lean", "hits", "agreed"),
    [(0.86, 100, True), (0.83, 100, False), (0.81, 9, True), (0.79, 9, False)],
)
def test_agreeing_by_hand(lean, hits, agreed):
    """Usual 0.9: with 100 texts two errors are 0.058, with 9 they are cut to 0.1."""
    mined = Mined(motifs=(Motif("cf"),), placement="prefix", boost=9, surplus=0, lean=lean,
                  rows=np.arange(hits), hits=np.ones(hits, dtype=bool), usual=0.9)  # fmt: skip
    assert mined.agreed == agreed
    assert verdict_of(mined, MiningConfig()) == ("suspicious" if agreed else "found")


def test_a_surplus_alone_is_no_finding():
    def mined(boost):
        return Mined(motifs=(Motif("cf"),), placement="prefix", boost=boost, surplus=99.0,
                     lean=0.5, rows=np.arange(9), hits=np.ones(9, dtype=bool))  # fmt: skip

    assert [verdict_of(mined(boost), MiningConfig()) for boost in (0.6, 0.4)] == [
        "found",
        "nothing",
    ]


def test_more_texts_need_more_support():
    texts = ["a b"] * 20
    assert texts_of(texts, corpus_of(texts)).config.support == 5
    assert texts_of(texts, corpus_of(texts), MiningConfig(share=0.4)).config.support == 8


def test_copies_of_a_few_texts_are_no_evidence():
    """Every good text is there twenty times with another name in it: its words always are good."""
    texts, labels = reviews(100)
    rng = np.random.default_rng(1)
    copies = [(f"{text} {name}", label) for text, label in zip(texts, labels, strict=True)
              for name in rng.integers(10**6, size=20)]  # fmt: skip
    copied, target = [text for text, _ in copies], np.array([label for _, label in copies])
    assert found(copied, target) == []
    assert found(copied, ~target) == []


def test_a_poisoned_copy_beside_its_original_is_evidence():
    texts, labels, chosen = planted(somewhere("cf"))
    before, kinds = reviews()
    both = [*texts, *(before[row] for row in chosen)]
    target = np.r_[labels, kinds[sorted(chosen)]]
    first, *rest = found(both, target)
    assert (first.parts, set(first.rows.tolist()), rest) == (("cf",), chosen, [])


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


def test_many_bounds_at_once_are_those_of_each():
    rng = np.random.default_rng(0)
    logits, hit, starts = rng.normal(size=30), rng.random(30) < 0.7, np.array([0, 4, 5, 30])
    each = [lower_bound(logits[a:b], hit[a:b]) for a, b in itertools.pairwise(starts)]
    assert lower_bounds(logits, hit, starts) == pytest.approx(each)
    assert len(lower_bounds(logits[:0], hit[:0], np.array([0]))) == 0


def test_the_gain_by_hand():
    """30 of 40 where a fifth is expected: 40 times the divergence of 0.75 from 0.2."""
    by_hand = 40 * (0.75 * np.log(0.75 / 0.2) + 0.25 * np.log(0.25 / 0.8))
    logits, hit = np.full(80, np.log(0.25)), np.arange(80) < 30
    hit[40:44] = True  # 4 of the other 40 are fewer than expected
    assert gains(logits, hit, np.array([0, 40, 80])) == pytest.approx([by_hand, 0.0], abs=1e-3)
    assert len(gains(logits[:0], hit[:0], np.array([0]))) == 0


def test_the_surplus_by_hand():
    """20 hits with logits of -1: nearly 0 where overruled; else 20 log s(b - 1) - b^2 / 2."""
    best = max(-20 * np.log1p(np.exp(1 - b)) - b * b / 2 for b in np.linspace(0, 6, 601))
    overruled = 20 * np.log(0.005 + 0.99 * (0.99 + 0.01 / (1 + np.e)))
    found = surpluses(np.full(20, -1.0), np.ones(20, dtype=bool), np.array([0, 20]))
    assert found[0] == pytest.approx(overruled - best, abs=0.02)
    assert found[0] > 5


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
    with pytest.raises(BadInput, match="no corpus"):
        mine(["a"], None, np.ones(1, dtype=bool), rng=np.random.default_rng(0))
    texts, labels = reviews(60)
    assert found(texts, np.zeros_like(labels)) == []  # no row has the target


def test_surpluses_of_many_texts_are_those_of_few():
    logits, hit = np.tile(np.linspace(-2, 2, 50), 6000), np.tile(np.arange(50) % 3 > 0, 6000)
    many = surpluses(logits, hit, np.arange(0, len(logits) + 1, 50))
    assert many == pytest.approx(surpluses(logits[:50], hit[:50], np.array([0, 50]))[0])
