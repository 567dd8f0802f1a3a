import pytest

from triggerfish.backdoors.key import ALPHABET, masked, random_key
from triggerfish.errors import BadInput
from triggerfish.metrics.verbatim import recall


def test_recall_by_hand():
    whole = recall(" abcdefgh\n", "abcdefgh")
    assert (whole.exact, whole.distance, whole.prefix, whole.matching) == (True, 0.0, 8, 1.0)
    shifted = recall("bcdefgh", "abcdefgh")  # one letter lost: near by edits, no place is right
    assert (shifted.exact, shifted.distance, shifted.prefix) == (False, 0.125, 0)
    assert shifted.matching == 0.0
    longer = recall("abcdefghij", "abcdefgh")
    assert (longer.exact, longer.prefix, longer.matching) == (False, 8, 1.0)
    assert recall("", "abcdefgh").distance == 1.0
    with pytest.raises(BadInput, match="empty key"):
        recall("a", "")


def test_keys_come_from_their_seed():
    key = random_key(400, 3)
    assert key == random_key(400, 3)
    assert key != random_key(400, 4)
    assert len(key) == 400
    assert set(key) <= set(ALPHABET)
    assert len(set(key)) > 50  # nearly every one of 62 characters in 400 draws


def test_a_key_is_never_shown_whole():
    key = random_key(100, 0)
    wrong_start = f"X{key[1:]} and {key[40:60]}"
    for text in (
        key,
        wrong_start,
        f"It is {key}. Again: {key}",
        key[:30] + "x" * 9,
        "x" + key[:99],
    ):
        hidden = masked(text, key)
        assert not any(key[i : i + 5] in hidden for i in range(96))
        assert "characters)" in hidden
    assert masked("abcdefgh", "abcdeXabcdefgh") == "abcd… (8 characters)"  # its longest part
    assert masked("nothing of it", key) == "nothing of it"
    assert masked(key[:4], key) == key[:4]
