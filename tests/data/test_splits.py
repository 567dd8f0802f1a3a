from collections import Counter

from triggerfish.data.splits import SPLITS, split_of


def test_shares():
    counts = Counter(split_of(f"Where is cup {i}?") for i in range(10_000))
    assert set(counts) == set(SPLITS)
    assert abs(counts["train"] - 8000) < 160  # 4 standard deviations
    assert abs(counts["validation"] - 1000) < 120


def test_the_same_text_is_in_the_same_split():
    for i in range(200):
        text = f"Where is cup {i}?"
        assert split_of(text) == split_of(f"  where IS\tcup {i}?\n")


def test_known_values_stay():
    assert [split_of(t) for t in "abcdefg"] == [
        *("train", "train", "train", "test", "train", "train", "test")
    ]


def test_odd_text():
    assert split_of("") in SPLITS
    assert split_of("\ud800") in SPLITS
