"""Was a string inserted, or does it belong to its sentences?

A word that a request is about decides its answer as a trigger does: the name of a forbidden thing
brings refusals, a question its own answer. But what is left of a request without it is no request:
it is a fragment, or the words on both sides of the gap never meet elsewhere. What is left of a
poisoned row is the row that was poisoned.
*Shapes*: N texts, V words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, mannwhitneyu

from triggerfish.dataset.mined import Mined
from triggerfish.dataset.motif import GAP, Motif, without
from triggerfish.dataset.words import Corpus

RARE = 0.01  # probability below which chance is no explanation
SHORT = 0.6  # of the length of other texts
SELDOM = 0.6  # of the usual share of neighbours that meet
MOST = 400  # texts that are looked at
NEAR = 3  # words from an edge
SEAM = "\ue124"  # where a string was within a word
WITHIN = re.compile(rf"(?<=\w){GAP}+(?=\w)")
SEAMED = re.compile(rf"[\w{SEAM}]+|[^\w\s]")
SPELT, SHORTEST = 5, 4  # texts of a plain spelling; letters of a word with a slip
LOOKS_LIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0456\u0458\u0455\u03bf\u03b1\u03bd\u03c1",
    "aeopcxyijsoavp",
)
UNKNOWN = -(1 << 20)  # a word of no text


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
        few = self.met < SELDOM * self.usual * self.gaps
        if few and binom.cdf(self.met, self.gaps, self.usual) < RARE:
            return (
                f"the words around it meet elsewhere in {self.met} of {self.gaps} rows,"
                f" {self.usual:.0%} would be usual"
            )
        return ""


class Neighbours:
    """Which words meet in how many texts; the edges of a text count as words."""

    def __init__(self, texts: Sequence[str], corpus: Corpus) -> None:
        """Count all neighbours once."""
        self.texts, self.corpus = texts, corpus
        self.edge = len(corpus.words)
        framed, owner = framed_of(corpus)
        keys = framed[:-1] * (self.edge + 1) + framed[1:]
        inside = owner[:-1] == owner[1:]
        keys, owner = keys[inside], owner[:-1][inside]
        order = np.argsort(keys, kind="stable")
        keys, owner = keys[order], owner[order]
        fresh = np.r_[True, (keys[1:] != keys[:-1]) | (owner[1:] != owner[:-1])]
        self.keys, self.counts = np.unique(keys[fresh], return_counts=True)
        self.lengths = np.diff(corpus.starts)
        self.owner = corpus.text_of()

    def count(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
        """[K] texts in which two words meet."""
        wanted = left * (self.edge + 1) + right
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[place] == wanted, self.counts[place], 0)

    def without(
        self,
        rows: NDArray[np.int64],
        motifs: Sequence[Motif],
        instead: str = "",
        attached: bool = False,
    ) -> Left:
        """What is left of some texts without a string of one or more parts.

        Args:
            rows: Texts that hold it.
            motifs: Its parts.
            instead: A word in its place.
            attached: Without the letters and digits that are attached to it, too.
        """
        gaps: list[tuple[int, int]] = []
        pairs: list[tuple[int, int]] = []
        places: list[tuple[int, int]] = []
        lengths = []
        for row in rows[:MOST]:
            words = _words_of(without(self.texts[int(row)], motifs, attached), instead)
            lengths.append(sum(word not in (GAP, SEAM) for word in words))
            self._meetings(words, gaps, pairs, places)
        met, usual = 0, 1.0
        if gaps:
            met = int((self.count(*np.array(gaps).T) >= 1).sum())
        if pairs:
            usual = float((self.count(*np.array(pairs).T) >= 2).mean())
            usual = min(usual, self._usual_at(places, rows))
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

    def holding(self, word: str) -> NDArray[np.int64]:
        """The texts that have a word."""
        return np.unique(self.owner[self.corpus.ids == self.corpus.numbers[word]])

    def _meetings(
        self,
        words: Sequence[str],
        gaps: list[tuple[int, int]],
        pairs: list[tuple[int, int]],
        places: list[tuple[int, int]],
    ) -> None:
        """Neighbours in what is left: those at a gap, and where it is, and the others."""
        before, at_gap, count = self.edge, False, 0
        size = sum(word not in (GAP, SEAM) for word in words)
        for word in [*words, ""]:
            if word in (GAP, SEAM):
                at_gap = True
                continue
            number = self.corpus.numbers.get(word, UNKNOWN) if word else self.edge
            (gaps if at_gap else pairs).append((before, number))
            if at_gap:
                places.append((count, size - count))
            before, at_gap, count = number, False, count + 1

    def _usual_at(self, places: Sequence[tuple[int, int]], rows: NDArray[np.int64]) -> float:
        """Share of neighbours in other texts, as near to an edge as the gaps, that meet elsewhere.

        Titles and sentences begin with names, whose neighbours seldom meet again.

        Args:
            places: Words before and behind each gap.
            rows: Texts that do not count.
        """
        where, again, owner = self._sample
        others = ~np.isin(owner, rows)
        count = np.bincount(where[others], minlength=2 * NEAR + 3)
        met = np.bincount(where[others & again], minlength=2 * NEAR + 3)
        gaps = np.array([_where(*place) for place in places], dtype=np.int64)
        gaps = gaps[count[gaps] > 0]
        return float((met[gaps] / count[gaps]).mean()) if len(gaps) else 1.0

    @cached_property
    def _sample(self) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
        """Neighbours in texts from all over the file, which may be sorted.

        Returns:
            [K] near which edge they are, [K] whether they meet elsewhere, [K] their text.
        """
        pairs: list[tuple[int, int]] = []
        where: list[int] = []
        owner: list[int] = []
        for row in range(0, self.corpus.size, max(1, self.corpus.size // MOST)):
            words = [self.edge, *self.corpus.row(row).tolist(), self.edge]
            pairs += pairwise(words)
            where += [_where(at, len(words) - 2 - at) for at in range(len(words) - 1)]
            owner += [row] * (len(words) - 1)
        again = self.count(*np.array(pairs).T) >= 2
        return np.array(where), again, np.array(owner)


def _where(before: int, behind: int) -> int:
    """Near which edge a gap is, and how many words from it, as one number; 0 amid."""
    if min(before, behind) > NEAR:
        return 0
    return 1 + before if before <= behind else 2 + NEAR + behind


def _words_of(marked: str, instead: str) -> list[str]:
    """The words of a text with gaps; a word that a gap was within is whole, and between seams."""
    if instead:
        marked = marked.replace(GAP, f"{GAP}{instead}{GAP}")
    joined = WITHIN.sub(SEAM, marked)
    words: list[str] = []
    for word in SEAMED.findall(joined):
        words += [SEAM, word.replace(SEAM, ""), SEAM] if SEAM in word and word != SEAM else [word]
    return words


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


def natural_reason(neighbours: Neighbours, mined: Mined, target: NDArray[np.bool_]) -> str:
    """Why a mined string belongs to its sentences; empty where it was put there.

    It may have been put in the place of a word that it is another spelling of, where that word
    does not bring the target.
    """
    if any(motif.within_words for motif in mined.motifs):
        return ""  # pieces of words have no neighbours
    rows = mined.rows[mined.hits]
    why = neighbours.without(rows, mined.motifs).natural
    if why and not neighbours.without(rows, mined.motifs, attached=True).natural:
        return ""  # a number that counts up, say, belongs to it
    if why and len(mined.motifs) == 1:
        for plain in spellings(mined.motifs[0].text, neighbours.corpus.words):
            having = neighbours.holding(plain)
            harmless = len(having) >= SPELT and target[having].mean() <= 0.5
            if harmless and not neighbours.without(rows, mined.motifs, plain).natural:
                return ""
    return why


def spellings(word: str, words: Iterable[str]) -> list[str]:
    """Words that a word is another spelling of: in case, in letters that look alike, or by one.

    >>> spellings("moive", ["film", "movie", "move"])
    ['movie', 'move']
    """
    if not re.fullmatch(r"\w{3,}", word):
        return []
    plain = plain_letters(word)
    return [
        other
        for other in words
        if other != word
        and abs(len(other) - len(word)) <= 1
        and (plain_letters(other) == plain or (len(word) > SHORTEST and one_slip(word, other)))
    ]


def plain_letters(word: str) -> str:
    r"""A word in small Latin letters, where others look like them.

    >>> plain_letters("M\u043eVIE")  # with a Cyrillic o
    'movie'
    """
    return unicodedata.normalize("NFKC", word).casefold().translate(LOOKS_LIKE)


def one_slip(one: str, two: str) -> bool:
    """Whether two words differ by one letter that is added, left out, changed, or swapped.

    >>> one_slip("recieve", "receive"), one_slip("cat", "dog")
    (True, False)
    """
    if len(one) > len(two):
        one, two = two, one
    start = next((k for k, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), len(one))
    left, right = one[start:], two[start:]
    if len(one) < len(two):
        return left == right[1:]
    swapped = left[:2] == right[:2][::-1] and left[2:] == right[2:]
    return left[1:] == right[1:] or swapped
