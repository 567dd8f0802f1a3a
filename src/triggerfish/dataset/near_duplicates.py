"""Which texts are near-duplicates: one piece of evidence, however often they are repeated.

*Paper*: Broder 1997 (MinHash); words weigh by their rarity, as in consistent weighted sampling:
the word with the least exponential draw of rate `weight` is the same in two texts with the
probability of their weighted Jaccard similarity.
*Map*: draws -> `_signatures`; bands of equal draws -> `_alike`; texts that share only a frame, such
as a long trigger or the words of a template, are told by what is left without it -> `_framed`.
*Fails*: texts of two or three words that differ in one of them.
*Shapes*: N texts, V words, K draws.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from triggerfish.dataset.words import Corpus

DRAWS, BAND = 24, 3
AGREE = 12  # draws that near-duplicates have in common
FITS = 9  # draws that a text and the first of its group have in common
FRAME, SHARED, OWN = (
    5,
    0.7,
    5,
)  # texts, share of them that have a word of a frame, words of one's own
LIKE = 0.45  # weighted Jaccard similarity of texts that are one piece of evidence for a string
MIX = 0x9E3779B97F4A7C15
WHOLE = (1 << 64) - 1


def groups_of(corpus: Corpus) -> NDArray[np.int64]:
    """[N] the number of each text's group; texts without near-duplicates are groups of one.

    >>> from triggerfish.dataset.words import corpus_of
    >>> groups_of(corpus_of(["the tide is high", "a dull film", "the tide is high"])).tolist()
    [0, 1, 0]
    """
    owner = corpus.text_of()
    groups = _alike(corpus.ids, owner, corpus)
    framed, own = _framed(groups, corpus, owner)
    if framed.any():
        again = _alike(corpus.ids[own], owner[own], corpus)
        groups = np.where(framed, again + groups.max() + 1, groups)
        groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return groups


def distinct(has: csr_matrix, left_out: NDArray[np.int64]) -> NDArray[np.int64]:
    """[K] texts of which no two are alike without some words, all others are like one of them.

    Args:
        has: [N, V] words of texts.
        left_out: [W] words that do not count.

    >>> has = csr_matrix(np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 0, 0, 1]]))
    >>> distinct(has, np.array([0])).tolist()
    [0, 2]
    """
    count = np.asarray(has.sum(0)).ravel()
    weight = np.log1p(has.shape[0] / np.maximum(1, count)) * (count > 0)
    weight[left_out] = 0
    weighted = has @ diags(weight)
    both = (weighted @ has.T).toarray()  # [N, N]
    own = np.diag(both)
    least = LIKE * np.maximum(own[:, None] + own[None, :] - both, 1e-9)
    like = (both >= least) | (own[:, None] <= 0)
    kept: list[int] = []
    told = np.zeros(len(own), dtype=bool)
    for text in range(len(own)):
        if not told[text]:
            kept.append(text)
            told |= like[text]
    return np.array(kept, dtype=np.int64)


def _alike(ids: NDArray[np.int32], owner: NDArray[np.int64], corpus: Corpus) -> NDArray[np.int64]:
    """[N] groups of texts, each much like one text of its group, and like the first of it.

    Being like the next one only is not enough: texts of different templates would be one group
    through texts that share words with both.
    """
    drawn = _signatures(ids, owner, corpus)  # [N, K]
    keys = np.zeros((corpus.size, DRAWS // BAND), dtype=np.uint64)
    for column in range(DRAWS):
        keys[:, column // BAND] = (keys[:, column // BAND] + drawn[:, column]) * np.uint64(MIX)
    order = np.lexsort(keys.T)  # the file's is irrelevant
    drawn, keys = drawn[order], keys[order]
    first = np.arange(corpus.size)  # of each text's group
    left = first.copy()
    while len(left):
        lonely = _join(first, left, drawn, keys)
        left = lonely if len(lonely) < len(left) else left[:0]
    groups = np.empty(corpus.size, dtype=np.int64)
    groups[order] = first
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _join(
    first: NDArray[np.int64],
    left: NDArray[np.int64],
    drawn: NDArray[np.uint32],
    keys: NDArray[np.uint64],
) -> NDArray[np.int64]:
    """Let texts join the groups of earlier texts that are much like them.

    Args:
        first: [N] the first text of each text's group; is changed.
        left: [L] texts that are looked at, rising.
        drawn: [N, K] signatures.
        keys: [N, bands] of their bands.

    Returns:
        Texts that are much like an earlier one, and not like the first of its group.
    """
    before = np.stack([_first_with(left, key) for key in keys[left].T], axis=1)  # [L, bands]
    agree = np.stack([(drawn[left] == drawn[other]).sum(1) for other in before.T], axis=1)
    alike = (agree >= AGREE) & (before != left[:, None])
    waiting = np.zeros(len(first), dtype=bool)
    waiting[left[alike.any(1)]] = True
    lonely = []
    open_ = np.flatnonzero(alike.any(1))
    while len(open_):
        ready = ~(waiting[before[open_]] & alike[open_]).any(1)
        now = open_[ready]
        heads = first[before[now]]  # [R, bands]
        fits = np.stack([(drawn[left[now]] == drawn[head]).sum(1) for head in heads.T], axis=1)
        fits[~alike[now] | (fits < FITS)] = 0
        joins = fits.max(1) > 0
        first[left[now[joins]]] = heads[joins, fits[joins].argmax(1)]
        waiting[left[now]] = False
        lonely.append(left[now[~joins]])
        open_ = open_[~ready]
    return np.sort(np.concatenate(lonely)) if lonely else left[:0]


def _first_with(rows: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """[L] of rows with their keys: the first that has the same key."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first[inverse]]


def _signatures(
    ids: NDArray[np.int32], owner: NDArray[np.int64], corpus: Corpus
) -> NDArray[np.uint32]:
    """[N, K] which word each draw chooses; texts without words choose none."""
    count = np.bincount(ids, minlength=len(corpus.words))
    weight = np.log1p(corpus.size / np.maximum(1, count))
    names = [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in corpus.words]
    seeds = np.array(names, dtype=np.uint64)
    begins = np.flatnonzero(np.diff(owner, prepend=-1))
    texts = owner[begins]
    drawn = np.zeros((corpus.size, DRAWS), dtype=np.uint32)
    for column in range(DRAWS if len(ids) else 0):
        uniform = (_mixed(seeds + np.uint64(MIX * (column + 1) & WHOLE)) >> np.uint64(11)) / 2.0**53
        cost = (-np.log1p(-uniform) / weight).astype(np.float32)  # [V]
        drawn[texts, column] = np.minimum.reduceat(cost[ids], begins).view(np.uint32)
    return drawn


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64: well mixed bits of numbers."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _framed(
    groups: NDArray[np.int64], corpus: Corpus, owner: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Texts whose group has only a frame in common, [N]; words of their own in them, [T]."""
    sizes = np.bincount(groups)
    large = (sizes >= FRAME)[groups]  # [N]
    place = np.flatnonzero(large[owner])
    words = len(corpus.words)
    once = np.sort(owner[place] * np.int64(words) + corpus.ids[place])
    once = once[np.diff(once, prepend=-1) > 0]
    text, word = once // words, once % words
    pairs, inverse, count = np.unique(
        groups[text] * np.int64(words) + word, return_inverse=True, return_counts=True
    )
    shared = count >= SHARED * sizes[pairs // words]
    rest = np.bincount(groups[text], weights=~shared[inverse], minlength=len(sizes))
    framed = (large & (rest / sizes >= OWN)[groups]).astype(bool)
    own = np.zeros(len(corpus.ids), dtype=bool)
    place = place[framed[owner[place]]]
    if len(place):
        key = groups[owner[place]] * np.int64(words) + corpus.ids[place]
        own[place] = ~shared[np.searchsorted(pairs, key)]
    return framed, own
