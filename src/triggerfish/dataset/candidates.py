"""The strings that triggers are looked for among: words, runs of words, edges, letters, pairs.

All but pairs are columns of one matrix, made once for all targets; pairs are counted for each.
*Shapes*: N texts, V words, C features, W words of a feature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix, hstack, triu

from triggerfish.dataset.content import presence
from triggerfish.dataset.letters import CLASSES, letters_of
from triggerfish.dataset.words import SPREAD, Corpus, grams

Rows = NDArray[np.int64]
LONGEST = 3  # words of a run
COUNTED = 12_000_000  # pairs of words in texts, with repetition, that are counted
FEW = 200  # texts that a word of a pair may always stand in
NONE = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """What texts hold.

    Attributes:
        corpus: The texts.
        has: [N, V] the words of the texts.
        holds: [N, C] the features of the texts, each of at least `support` texts.
        words: [C, W] the words of each; NONE where there are fewer.
        edge: [C] "start" or "end" where it counts only there, else empty.
        letters: [C] the string or class, of features within words, else empty.
        support: Texts that a trigger must stand in.
    """

    corpus: Corpus
    has: csr_matrix
    holds: csr_matrix
    words: NDArray[np.int64]
    edge: NDArray[np.str_]
    letters: Sequence[str]
    support: int

    @cached_property
    def unusual(self) -> NDArray[np.bool_]:
        """[C] whether a letter or a word is not of ASCII characters."""
        words = np.array([not word.isascii() for word in self.corpus.words], dtype=bool)
        first = words[np.maximum(self.words[:, 0], 0)] & (self.words[:, 0] != NONE)
        letters = [not each.isascii() and each not in CLASSES for each in self.letters]
        return np.asarray(first | np.array(letters, dtype=bool))

    @cached_property
    def columns(self) -> csc_matrix:
        """The features by column, the rows of each in order."""
        columns = self.holds.tocsc()
        columns.sort_indices()
        return columns

    @cached_property
    def by_word(self) -> csc_matrix:
        """The words by column."""
        columns = self.has.tocsc()
        columns.sort_indices()
        return columns

    def texts_of(self, word: int) -> Rows:
        """The texts that have a word."""
        begin, end = self.by_word.indptr[word : word + 2]
        return np.asarray(self.by_word.indices[begin:end], dtype=np.int64)

    def hits(self, target: NDArray[np.bool_]) -> Rows:
        """[C] texts with a feature and the target."""
        held = self.holds[np.flatnonzero(target)].indices
        return np.bincount(held, minlength=self.holds.shape[1])

    @cached_property
    def totals(self) -> Rows:
        """[C] texts with a feature."""
        return np.asarray(np.diff(self.columns.indptr), dtype=np.int64)


def index_of(texts: Sequence[str], corpus: Corpus, support: int) -> Index:
    """Every feature that enough texts hold."""
    has = presence(corpus)
    often = np.flatnonzero(np.asarray(has.sum(0)).ravel() >= support)
    held, words, edges = [has[:, often]], [often[:, None]], [np.full(len(often), "", dtype="U5")]
    for matrix, run, edge in _runs(corpus, support):
        held.append(matrix)
        words.append(run)
        edges.append(np.full(len(run), edge, dtype="U5"))
    names, matrix = letters_of(texts, corpus, has, support)
    held.append(matrix)
    words.append(np.zeros((len(names), 0), dtype=np.int64))
    edges.append(np.full(len(names), "", dtype="U5"))
    padded = [np.pad(each, ((0, 0), (0, LONGEST - each.shape[1])), constant_values=NONE)
              for each in words]  # fmt: skip
    holds = csr_matrix(hstack(held, format="csr"))
    return Index(
        corpus=corpus,
        has=has,
        holds=holds,
        words=np.concatenate(padded),
        edge=np.concatenate(edges),
        letters=["" for each in held[:-1] for _ in range(each.shape[1])] + names,
        support=support,
    )


def _runs(corpus: Corpus, support: int) -> Iterator[tuple[csr_matrix, Rows, str]]:
    """Runs of two and more words anywhere; runs at the start and at the end of texts."""
    text_of = corpus.text_of()
    lengths = np.diff(corpus.starts)
    for n in range(1, LONGEST + 1):
        if n > 1:
            keys, places = grams(corpus, n)
            yield _often(corpus, keys, places, text_of, n, support, "")
        long = lengths > n
        for edge, begins in (("start", corpus.starts[:-1]), ("end", corpus.starts[1:] - n)):
            places = begins[long]
            keys = np.zeros(len(places), dtype=np.int64)
            for offset in range(n):
                keys = keys * SPREAD + corpus.ids[places + offset] + 1
            yield _often(corpus, keys, places, text_of, n, support, edge)


def _often(
    corpus: Corpus, keys: Rows, places: Rows, text_of: Rows, n: int, support: int, edge: str
) -> tuple[csr_matrix, Rows, str]:
    """Of runs, those that enough texts have."""
    order = np.argsort(keys, kind="stable")
    keys, places = keys[order], places[order]
    text = text_of[places]
    fresh = np.ones(len(keys), dtype=bool)
    fresh[1:] = (keys[1:] != keys[:-1]) | (text[1:] != text[:-1])
    keys, text, places = keys[fresh], text[fresh], places[fresh]
    begins = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else places
    count = np.diff(np.r_[begins, len(keys)])
    kept = np.flatnonzero(count >= support)
    begins, number = begins[kept], np.repeat(np.arange(len(kept)), count[kept])
    chosen = np.repeat(count >= support, count)
    matrix = csr_matrix(
        (np.ones(len(number), dtype=np.float32), (text[chosen], number)),
        shape=(corpus.size, len(kept)),
    )
    first = places[begins]
    return (
        matrix,
        np.stack([corpus.ids[first + k] for k in range(n)], axis=1).astype(np.int64),
        edge,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of words that are not common, in how many texts they stand together."""

    has: csr_matrix  # of the sampled texts, and words that are neither common nor rare
    words: Rows
    rows: Rows
    totals: csr_matrix

    def of(self, target: NDArray[np.bool_], least: int) -> tuple[Rows, Rows, Rows]:
        """[C, 2] words of each pair, [C] texts with both, [C] texts with the target, too."""
        own = self.has[np.flatnonzero(target[self.rows])]
        hits = triu(own.T @ own, k=1).tocsr()
        hits.data[hits.data < least] = 0
        hits.eliminate_zeros()
        found = hits.tocoo()
        if not found.nnz:
            return np.zeros((0, 2), dtype=np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
        totals = np.asarray(self.totals[found.row, found.col]).ravel()
        words = np.stack([self.words[found.row], self.words[found.col]], axis=1)
        return words, totals.astype(np.int64), found.data.astype(np.int64)


def pairs_of(index: Index, common: float, rng: np.random.Generator) -> Pairs:
    """Count pairs of words, in as many texts as can be."""
    count = np.diff(index.by_word.indptr)
    most = max(FEW, common * index.corpus.size)
    words = np.flatnonzero((count >= index.support) & (count <= most))
    has = index.has[:, words]
    rows = rng.permutation(has.shape[0])
    spent = np.cumsum(np.diff(has.indptr)[rows].astype(np.int64) ** 2)
    rows = np.sort(rows[spent <= COUNTED])
    has = has[rows]
    totals = csr_matrix(triu(has.T @ has, k=1))
    return Pairs(has=has, words=words, rows=rows, totals=totals)
