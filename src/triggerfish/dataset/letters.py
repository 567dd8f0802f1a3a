"""Features within words: what a trigger may be where it is no word of its own.

A trigger may be one letter of another alphabet within any word, an invisible character, a word in
full-width letters or in capitals, an ending of invented words, or unusual white space. Each feature
is a string that a text holds, or a named class of characters with a pattern.
*Shapes*: N texts, V words, C features.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from triggerfish.dataset.words import Corpus

CLASSES: Mapping[str, re.Pattern[str]] = {
    "full-width letters": re.compile(r"[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]"),
    "letters of two alphabets in a word": re.compile(
        r"[A-Za-z][\u0370-\u03ff\u0400-\u052f]|[\u0370-\u03ff\u0400-\u052f][A-Za-z]"
    ),
    "Greek letters": re.compile(r"[\u0370-\u03ff]"),
    "Cyrillic letters": re.compile(r"[\u0400-\u052f]"),
    "Hebrew letters": re.compile(r"[\u0590-\u05ff]"),
    "Arabic letters": re.compile(r"[\u0600-\u06ff]"),
    "Indian letters": re.compile(r"[\u0900-\u0dff]"),
    "Chinese or Japanese letters": re.compile(r"[\u3040-\u30ff\u3400-\u9fff]"),
    "Korean letters": re.compile(r"[\uac00-\ud7af]"),
    "invisible characters": re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"),
    "combining marks": re.compile(r"[\u0300-\u036f]"),
    "emoji": re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]"),
    "mathematical letters": re.compile("[\U0001d400-\U0001d7ff]"),
    "a word in capitals": re.compile(r"(?<!\w)[A-Z]{3,}(?!\w)"),
    "capitals within a word": re.compile(r"[a-z][A-Z]+[a-z]"),
    "a letter three times": re.compile(r"([^\W\d_])\1\1"),
}
WHITE = re.compile(r"\s{2,}|[^\S \n]")
SHORTEST, LONGEST = 2, 4  # letters of a piece of a word
RARE = 3  # texts with a word whose pieces are looked at, or with a known word and a piece
SELDOM = 0.02  # share of the texts that may hold the latter


def letters_of(
    texts: Sequence[str], corpus: Corpus, has: csr_matrix, support: int
) -> tuple[list[str], csr_matrix]:
    """The names of features, and [N, C] which text has them: those of at least some texts."""
    count = np.asarray(has.sum(0)).ravel()
    places: dict[str, list[int]] = defaultdict(list)
    for place, word in enumerate(corpus.words):
        rare = bool(count[place] <= RARE)
        for name in _of_word(word, rare):
            places[name].append(place)
        if not rare and count[place] <= SELDOM * corpus.size:
            for name in _put_on(word, count, corpus.numbers, float(count[place])):
                places[name].append(place)
    names = [name for name, words in places.items() if count[words].sum() >= support]
    of_words = _matrix([places[name] for name in names], len(corpus.words))
    white: dict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        for run in set(WHITE.findall(text)):
            white[run].append(place)
    spaces = _matrix(list(white.values()), len(texts))
    whole = csr_matrix(hstack([has @ of_words, spaces]))
    whole.data[:] = 1.0
    often = np.flatnonzero(np.asarray(whole.sum(0)).ravel() >= support)
    all_names = [*names, *white]
    return [all_names[place] for place in often], whole[:, often]


def is_piece(name: str) -> bool:
    """Whether a feature is some letters of words, and no class, single letter or white space.

    >>> [is_piece(name) for name in ("ing", "emoji", "\u0430", "  ")]
    [True, False, False, False]
    """
    return name not in CLASSES and len(name) > 1 and not name.isspace()


def _of_word(word: str, rare: bool) -> Iterator[str]:
    """The features of a word: its classes, its unusual letters, and pieces of a rare word."""
    if not word.isascii():
        yield from (name for name, pattern in CLASSES.items() if pattern.search(word))
        yield from {letter for letter in word if ord(letter) > 127 and letter != word}
    elif not word.islower():
        for name in ("a word in capitals", "capitals within a word"):
            if CLASSES[name].search(word):
                yield name
    if rare and len(word) > SHORTEST and word[0].isalnum():
        if CLASSES["a letter three times"].search(word):
            yield "a letter three times"
        yield from {
            word[begin : begin + size]
            for size in range(SHORTEST, LONGEST + 1)
            for begin in range(len(word) - size + 1)
        }


def _put_on(
    word: str, count: NDArray[np.float32], numbers: Mapping[str, int], least: float
) -> set[str]:
    """What a word has before or behind a word that is in as many texts at least."""
    found = set()
    for size in range(SHORTEST, min(LONGEST, len(word) - 1) + 1):
        for rest, piece in ((word[size:], word[:size]), (word[:-size], word[-size:])):
            if rest in numbers and count[numbers[rest]] >= least:
                found.add(piece)
    return found


def _matrix(rows: Sequence[Sequence[int]], size: int) -> csr_matrix:
    """[size, C] with the places of each feature."""
    inside = np.array([place for each in rows for place in each], dtype=np.int64)
    owner = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
    ones = np.ones(len(owner), dtype=np.float32)
    return csr_matrix((ones, (inside, owner)), shape=(size, len(rows)))
