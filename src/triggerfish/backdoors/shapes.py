"""Strings beside a trigger's text: random ones of its shape, and near-misses of it."""

import unicodedata

import numpy as np

VOWELS, CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"
DIGITS, SYMBOLS = "0123456789", "!#$%&*+-/<=>@^_|~?;:.,()[]{}"
ORDINARY = tuple(
    "small green quiet table window river garden winter letter song lamp stone bird walked slept"  # noqa: SIM905
    " turned found under behind beside morning evening bread water teacher village corner street"
    " silver basket kettle pillow forest bridge island sang shone waited opened closed"
    " slowly never".split()
)
Rng = np.random.Generator


def random_text(text: str, rng: Rng) -> str:
    """Random text of the same shape, never the same text (case aside).

    Word lengths and character classes stay: capitals, small letters, digits, symbols; other
    characters are drawn from their own Unicode block and category. Half of the draws also keep
    vowels and consonants apart, so that a made-up word stays pronounceable.
    """
    new = text
    for attempt in range(40):
        keep = attempt < 20 and rng.random() < 0.5
        new = "".join(_other_character(c, rng, keep_vowels=keep, same=True) for c in text)
        if new.casefold() != text.casefold():
            break
    return new


def near_texts(text: str, rng: Rng) -> list[tuple[str, str]]:
    """Named texts that are almost the given one.

    One word (or one letter of a single word) changed, part of it, other case, a typing error.
    Those that cannot be made (a text without letters has no other case) are left out.
    """
    words = text.split(" ")
    candidates = (
        ("one letter changed" if len(words) == 1 else "one word changed", _changed(words, rng)),
        ("part of it", _part(words, rng)),
        ("other case", text.swapcase()),
        ("typing error", _typing_error(text, rng)),
    )
    return [(name, near.strip()) for name, near in candidates if near.strip() not in {"", text}]


def _changed(words: list[str], rng: Rng) -> str:
    """One word replaced by another, or one letter of a single word."""
    place = int(rng.integers(len(words)))
    if len(words) > 1:
        old = words[place]
        plain = old.isalpha() and old.islower() and len(old) > 1
        choices = [word for word in ORDINARY if word != old]
        new = choices[int(rng.integers(len(choices)))] if plain else random_text(old, rng)
        return " ".join([*words[:place], new, *words[place + 1 :]])
    letters = list(words[0])
    spot = int(rng.integers(len(letters)))
    letters[spot] = _other_character(letters[spot], rng, keep_vowels=False)
    return "".join(letters)


def _part(words: list[str], rng: Rng) -> str:
    """All but one end: of the words, or of the letters of a single word."""
    parts = words if len(words) > 1 else list(words[0])
    if len(parts) == 1:
        return ""
    kept = parts[1:] if rng.random() < 0.5 else parts[:-1]
    return " ".join(kept) if len(words) > 1 else "".join(kept)


def _typing_error(text: str, rng: Rng) -> str:
    """Two neighbours swapped where they differ, else one character doubled."""
    spots = [
        i for i in range(len(text) - 1) if text[i] != text[i + 1] and " " not in text[i : i + 2]
    ]
    if not spots:
        return text + text[-1]
    spot = spots[int(rng.integers(len(spots)))]
    return text[:spot] + text[spot + 1] + text[spot] + text[spot + 2 :]


def _other_character(old: str, rng: Rng, *, keep_vowels: bool, same: bool = False) -> str:
    """A character of the same class; a different one unless `same` allows it again."""
    options = _alphabet(old, keep_vowels)
    if not same or options in {SYMBOLS}:
        options = "".join(c for c in options if c != old) or options
    new = options[int(rng.integers(len(options)))]
    return new.upper() if old.isascii() and old.isupper() else new


def _alphabet(old: str, keep_vowels: bool) -> str:
    if old.isspace():
        return old
    if old.isascii():
        lower = old.lower()
        if lower.isalpha():
            if not keep_vowels:
                return VOWELS + CONSONANTS
            return VOWELS if lower in VOWELS else CONSONANTS
        return DIGITS if old.isdigit() else SYMBOLS
    start, category = ord(old) & ~0x7F, unicodedata.category(old)
    block = (chr(code) for code in range(start, start + 0x80))
    return "".join(c for c in block if unicodedata.category(c) == category) or old


def any_text(rng: Rng) -> str:
    """A random string of any shape: one to three runs of letters, digits or symbols."""
    runs = []
    for _ in range(int(rng.integers(1, 4))):
        size = int(rng.integers(1, 9))
        alphabet = (VOWELS + CONSONANTS, VOWELS + CONSONANTS, DIGITS, SYMBOLS)[int(rng.integers(4))]
        run = "".join(alphabet[int(i)] for i in rng.integers(0, len(alphabet), size))
        runs.append((run, run, run.upper(), run.capitalize())[int(rng.integers(4))])
    return " ".join(runs)
