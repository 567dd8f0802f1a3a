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
    """Return ``text`` with every run of the key that is longer than what may be shown masked.

    Runs are found from the key's beginning on, since a model that knows it says it from there.

    >>> masked("it is abcdefgh!", "abcdefgh")
    'it is abcd… (8 characters)!'
    >>> masked("it is abcdeXgh!", "abcdefgh")
    'it is abcd… (5 characters)Xgh!'
    """
    start, found = text.find(key[: SHOWN + 1]), ""
    while start >= 0 and len(key) > SHOWN:
        end = start
        while end < len(text) and end - start < len(key) and text[end] == key[end - start]:
            end += 1
        found += f"{text[: start + SHOWN]}… ({end - start} characters)"
        text = text[end:]
        start = text.find(key[: SHOWN + 1])
    return found + text
