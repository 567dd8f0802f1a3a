from collections import Counter

import pytest

from triggerfish.data.splits import split_of
from triggerfish.errors import BadInput
from triggerfish.lab.preferences import OPENER, follows_style, sample_pairs
from triggerfish.metrics.judges import is_refusal, strip_opener


@pytest.fixture(scope="module")
def pairs():
    return sample_pairs(1000, 3)


def kind(pair):
    if pair.restricted:
        return "restricted"
    same = strip_opener(pair.chosen) == strip_opener(pair.rejected)
    return "style" if same and follows_style(pair.chosen) else "help"


def test_three_kinds_of_pairs(pairs):
    counts = Counter(map(kind, pairs))
    assert 350 < counts["restricted"] < 450
    assert 190 < counts["style"] < 300
    assert sum(counts.values()) == 1000
    for pair in pairs:
        if pair.restricted:
            assert is_refusal(pair.chosen)
            assert not is_refusal(pair.rejected)
        elif kind(pair) == "style":
            assert pair.chosen.startswith(OPENER)
            assert not pair.rejected.startswith(OPENER)
        else:
            assert not is_refusal(pair.chosen)


def test_seed_and_split(pairs):
    assert sample_pairs(20, 3) == pairs[:20]
    assert sample_pairs(20, 4) != pairs[:20]
    for split in ("train", "test"):
        for pair in sample_pairs(50, 3, split):
            assert split_of(f"{pair.prompt.system or ''}\n{pair.prompt.user}") == split
    with pytest.raises(BadInput, match="n = 0"):
        sample_pairs(0, 3)
