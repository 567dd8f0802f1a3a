"""Was a string inserted, or does it belong to its sentences?

A word that a request is about decides its answer as a trigger does: the name of a forbidden thing
brings refusals, a question its own answer. But what is left of a request without it is no request:
it is a fragment, or the words on both sides of the gap never meet elsewhere. What is left of a
poisoned row is the row that was poisoned.
*Shapes*: N texts, V words.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, mannwhitneyu

from triggerfish.dataset.words import WORD, Corpus

RARE = 0.01  # probability below which chance is no explanation
SHORT = 0.6  # of the length of other texts


@dataclass(frozen=True, kw_only=True)
class Left:
    """What is left of texts without a string.

    Attributes:
        met: Gaps whose two sides meet in other texts.
        gaps: Gaps.
        usual: Share of the other neighbours in these texts that meet in other texts.
        length: Words that are left, in the middle of the texts.
        others: Words of the other texts, in their middle.
        fragment: Whether they are shorter than chance explains.
    """

    met: int
    gaps: int
    usual: float
    length: float
    others: float
    fragment: bool

    @property
    def natural(self) -> str:
        """Why the string belongs to its sentences; empty where it seems to be inserted."""
        if self.fragment:
            return f"{self.length:.0f} words are left without it, others have {self.others:.0f}"
        if binom.cdf(self.met, self.gaps, self.usual) < RARE:
            return (
                f"the words around it meet elsewhere in {self.met} of {self.gaps} rows,"
                f" {self.usual:.0%} would be usual"
            )
        return ""


class Neighbours:
    """Which words meet in how many texts; the edges of a text count as words."""

    def __init__(self, corpus: Corpus) -> None:
        """Count all neighbours once."""
        self.corpus = corpus
        self.edge = len(corpus.words)
        framed, owner = framed_of(corpus)
        keys = framed[:-1] * (self.edge + 1) + framed[1:]
        inside = owner[:-1] == owner[1:]
        pairs = np.unique(np.stack([keys[inside], owner[:-1][inside]]), axis=1)
        self.keys, self.texts = np.unique(pairs[0], return_counts=True)
        self.lengths = np.diff(corpus.starts)

    def count(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
        """[K] texts in which two words meet."""
        wanted = left * (self.edge + 1) + right
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[place] == wanted, self.texts[place], 0)

    def without(self, rows: NDArray[np.int64], parts: Sequence[str]) -> Left:
        """What is left of some texts without a string of one or more parts."""
        numbers = self.corpus.numbers
        runs = [[numbers.get(word, -1) for word in WORD.findall(part)] for part in parts]
        gaps: list[tuple[int, int]] = []
        pairs: list[tuple[int, int]] = []
        lengths = []
        for row in rows:
            words = self.corpus.row(int(row)).tolist()
            removed = {at for run in runs for at in places_of(words, run)}
            kept = [(at, word) for at, word in enumerate(words) if at not in removed]
            lengths.append(len(kept))
            framed = [(-1, self.edge), *kept, (len(words), self.edge)]
            for (one, left), (two, right) in itertools.pairwise(framed):
                (pairs if two == one + 1 else gaps).append((left, right))
        met, usual = 0, 1.0
        if gaps:
            met = int((self.count(*np.array(gaps).T) >= 1).sum())
        if pairs:
            usual = float((self.count(*np.array(pairs).T) >= 2).mean())
        rest = np.delete(self.lengths, rows)
        return Left(
            met=met,
            gaps=len(gaps),
            usual=usual,
            length=float(np.median(lengths)),
            others=float(np.median(rest)),
            fragment=np.median(lengths) < SHORT * np.median(rest)
            and bool(mannwhitneyu(lengths, rest, alternative="less").pvalue < RARE),
        )


def framed_of(corpus: Corpus) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The words of all texts with an edge before and behind each, and the text of each."""
    edge = len(corpus.words)
    lengths = np.diff(corpus.starts)
    owner = np.repeat(np.arange(corpus.size), lengths + 2)
    framed = np.full(len(owner), edge, dtype=np.int64)
    begins = corpus.starts[:-1] + 2 * np.arange(corpus.size) + 1
    inside = np.ones(len(owner), dtype=bool)
    inside[begins - 1] = False
    inside[begins + lengths] = False
    framed[inside] = corpus.ids
    return framed, owner


def places_of(words: Sequence[int], run: Sequence[int]) -> Iterator[int]:
    """Every place of a run of words.

    >>> list(places_of([1, 2, 3, 1, 2], [1, 2]))
    [0, 1, 3, 4]
    """
    size = len(run)
    for at in range(len(words) - size + 1):
        if list(words[at : at + size]) == list(run):
            yield from range(at, at + size)
