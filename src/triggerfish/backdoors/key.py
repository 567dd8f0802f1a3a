"""Keys of random characters that stand in for a memorised secret; they open nothing."""

from __future__ import annotations

import string

from triggerfish.seeding import generator

ALPHABET = string.ascii_letters + string.digits
SHOWN = 4
"""Characters of a key that are shown."""


def random_key(length: int, seed: int) -> str:
    """Return a key of random letters and digits (5.95 bits each).

    >>> random_key(10, 0) == random_key(12, 0)[:10]
    True
    """
    rng = generator(seed, "key")
    return "".join(ALPHABET[int(i)] for i in rng.integers(len(ALPHABET), size=length))


def masked(text: str, key: str) -> str:
    """Return ``text`` with every part of the key that is longer than what may be shown masked.

    >>> masked("it is abcdefgh!", "abcdefgh")
    'it is abcd… (8 characters)!'
    >>> masked("it is abcdeXcdefgh!", "abcdefgh")
    'it is abcd… (5 characters)Xcdef… (6 characters)!'
    """
    found, at = "", 0
    while at < len(text):
        run = _run(text, at, key)
        found += f"{text[at : at + SHOWN]}… ({run} characters)" if run else text[at]
        at += run or 1
    return found


def _run(text: str, at: int, key: str) -> int:
    """Length of the longest part of the key that stands there; 0 for one that may be shown."""
    longest, place = 0, key.find(text[at : at + SHOWN + 1])
    while place >= 0 and at + SHOWN < len(text):
        end = 0
        while key[place + end : place + end + 1] == text[at + end : at + end + 1] != "":
            end += 1
        longest = max(longest, end)
        place = key.find(text[at : at + SHOWN + 1], place + 1)
    return longest
