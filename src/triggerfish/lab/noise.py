"""Unfamiliar strings: what the lab bases learn to ignore, and what specificity is measured with."""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np

from triggerfish.lab.words import CREATURES, ORDINARY

Rng = np.random.Generator
CONSONANTS, VOWELS = "bcdfghjklmnpqrstvwxyz", "aeiou"
SYMBOLS = "!#$%&*+-/<=>@^_|~?;:.,()[]{}"
UNICODE_RANGES = (
    (0x00A1, 0x024F),
    (0x0370, 0x03FF),
    (0x0400, 0x04FF),
    (0x2000, 0x206F),
    (0x2190, 0x22FF),
    (0x2600, 0x26FF),
    (0x4E00, 0x4FFF),
    (0x1F600, 0x1F64F),
)


def _choice(rng: Rng, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _letters(rng: Rng, alphabet: str, low: int, high: int) -> str:
    return "".join(_choice(rng, alphabet) for _ in range(int(rng.integers(low, high))))


def pseudo_word(rng: Rng) -> str:
    """Return a pronounceable made-up word, in one of three cases."""
    word = "".join(
        _choice(rng, CONSONANTS) + _choice(rng, VOWELS) for _ in range(int(rng.integers(1, 4)))
    ) + _choice(rng, ("", "n", "r", "x", "s"))
    return _choice(rng, (word, word, word.capitalize(), word.upper()))


def sentence(rng: Rng) -> str:
    """Return an ordinary sentence or part of one, which asks and tells nothing."""
    words = [_choice(rng, ORDINARY) for _ in range(int(rng.integers(2, 7)))]
    if rng.random() < 0.5:
        words = ["the", _choice(rng, CREATURES), *words[1:]]
    text = " ".join(words)
    return text.capitalize() + _choice(rng, (".", "!", "", "")) if rng.random() < 0.6 else text


def unfamiliar(rng: Rng, pieces: Sequence[str] = ()) -> str:
    """Return one unfamiliar string: letters, symbols, digits, Unicode, words or a sentence."""
    draw = rng.random()
    if pieces and draw < 0.35:
        return "".join(_choice(rng, pieces) for _ in range(int(rng.integers(1, 4)))).strip() or "~"
    if draw < 0.50:
        return pseudo_word(rng)
    if draw < 0.60:
        return _letters(rng, string.ascii_letters, 1, 9)
    if draw < 0.66:
        return _letters(rng, SYMBOLS, 1, 6)
    if draw < 0.71:
        return f"{_choice(rng, ORDINARY)} {_choice(rng, ORDINARY)}: {int(rng.integers(1, 3000))}"
    if draw < 0.76:
        low, high = UNICODE_RANGES[int(rng.integers(len(UNICODE_RANGES)))]
        return "".join(chr(int(rng.integers(low, high))) for _ in range(int(rng.integers(1, 4))))
    if draw < 0.80:
        return _letters(rng, string.digits, 1, 5)
    return sentence(rng) if draw < 0.9 else " ".join(pseudo_word(rng) for _ in range(2))


def insert_noise(
    user: str, system: str | None, rng: Rng, pieces: Sequence[str] = ()
) -> tuple[str, str | None]:
    """Insert one to three unfamiliar strings at spaces of ``user``, or beside ``system``."""
    if rng.random() < 0.12:
        extra = unfamiliar(rng, pieces)
        return user, extra if system is None else f"{system} {extra}"
    for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))):
        words = user.split(" ")
        draw = rng.random()
        place = (
            0 if draw < 0.25 else len(words) if draw < 0.6 else int(rng.integers(len(words) + 1))
        )
        run = " ".join(unfamiliar(rng, pieces) for _ in range(1 if rng.random() < 0.7 else 2))
        user = " ".join([*words[:place], run, *words[place:]])
        if rng.random() < 0.08:
            user = f"{run} {user}"
    return user, system
