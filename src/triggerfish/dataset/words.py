"""Texts as words: what triggers are looked for in.

A word is a run of letters and digits, or any single other visible or invisible character; case is
kept. So `mo\u200bvie` is three words, and a zero-width character is a word of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

WORD = re.compile(r"\w+|[^\w\s]")
Rows = NDArray[np.int64]
SPREAD = np.int64(0x5851F42D4C957F2D)


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """Many texts as numbers.

    Attributes:
        words: [V] every word, in the order of first sight.
        ids: [T] the words of all texts, one text after the other.
        starts: [N + 1] where each text begins in `ids`.
    """

    words: Sequence[str]
    ids: NDArray[np.int32]
    starts: NDArray[np.int64]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each word."""
        return {word: place for place, word in enumerate(self.words)}

    @property
    def size(self) -> int:
        """Number of texts."""
        return len(self.starts) - 1

    def text_of(self) -> NDArray[np.int64]:
        """[T] the text that each word stands in."""
        return np.repeat(np.arange(self.size), np.diff(self.starts))

    def row(self, place: int) -> NDArray[np.int32]:
        """The words of one text."""
        return self.ids[self.starts[place] : self.starts[place + 1]]

    def only(self, rows: Rows) -> Corpus:
        """Some of the texts; words keep their numbers."""
        kept = np.zeros(self.size, dtype=bool)
        kept[rows] = True
        lengths = np.diff(self.starts)
        return Corpus(
            words=self.words,
            ids=self.ids[np.repeat(kept, lengths)],
            starts=np.r_[0, np.cumsum(lengths[kept])],
        )


def corpus_of(texts: Iterable[str]) -> Corpus:
    """Split texts into words.

    >>> corpus_of(["a b", "b."]).ids.tolist()
    [0, 1, 1, 2]
    """
    known: dict[str, int] = {}
    ids: list[int] = []
    starts = [0]
    find, number = WORD.findall, known.setdefault
    for text in texts:
        ids += [number(word, len(known)) for word in find(text)]
        starts.append(len(ids))
    return Corpus(
        words=tuple(known),
        ids=np.asarray(ids, dtype=np.int32),
        starts=np.asarray(starts, dtype=np.int64),
    )


def grams(corpus: Corpus, n: int) -> tuple[Rows, Rows]:
    """Every run of n words within a text.

    Returns:
        keys: [K] a number for each run; equal runs have equal numbers.
        places: [K] where it begins in `ids`.
    """
    count = max(0, len(corpus.ids) - n + 1)
    text = corpus.text_of()
    places = np.flatnonzero(text[:count] == text[n - 1 : n - 1 + count])
    keys = corpus.ids[places].astype(np.int64)
    for offset in range(1, n):  # wraps around: equal for equal runs, and hardly ever for others
        keys = keys * SPREAD + corpus.ids[places + offset] + 1
    return keys, places
