"""What strings are measured against: the texts, counted once, and the content of each target.

*Shapes*: N texts, V words, C strings, W words of a string, E texts of all strings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from triggerfish.dataset.boost import gains, lower_bound, lower_bounds, surpluses
from triggerfish.dataset.candidates import NONE, Index, Pairs, index_of, pairs_of
from triggerfish.dataset.content import Content, content_of
from triggerfish.dataset.mined import MiningConfig
from triggerfish.dataset.motif import Motif, without
from triggerfish.dataset.near_duplicates import distinct
from triggerfish.dataset.words import WORD, Corpus

Rows = NDArray[np.int64]
CAP = 1000  # texts of one string that are measured
ROOM = 0.2  # share of some texts that their content does not say the target of, at least
AGAINST, NEUTRAL = 0.7, 0.7  # nats that content speaks against a target; lean that it has at most
LEAST = {"boost": -99.0, "surplus": 0.0, "lean": 1.0}  # what `measured` says of too few texts


@dataclass(kw_only=True, eq=False)
class Texts:
    """Texts, and all that is counted in them once for all targets.

    Attributes:
        texts: [N] what a trigger may stand in.
        corpus: the same as words.
        begins: [N] where the prompt begins, behind a system message.
        copies: [N] the same texts have the same number.
        index: the strings.
    """

    texts: Sequence[str]
    corpus: Corpus
    begins: Sequence[int] | None
    copies: Rows
    index: Index
    config: MiningConfig
    _pairs: Pairs | None = None
    _contents: dict[bytes, Content] = field(default_factory=dict)

    def only(self, rows: Rows) -> Texts:
        """Some of the texts, in their order, and the same strings.

        Args:
            rows: [R] ascending.
        """
        corpus = self.corpus.only(rows)
        index = replace(
            self.index, corpus=corpus, has=self.index.has[rows], holds=self.index.holds[rows]
        )
        return replace(
            self,
            texts=[self.texts[row] for row in rows.tolist()],
            corpus=corpus,
            begins=None if self.begins is None else [self.begins[row] for row in rows.tolist()],
            copies=self.copies[rows],
            index=index,
            _pairs=None,
            _contents={},
        )

    def pairs(self, rng: np.random.Generator) -> Pairs:
        """Pairs of words, counted at the first call."""
        if self._pairs is None:
            self._pairs = pairs_of(self.index, self.config.common, rng)
        return self._pairs

    def content(self, target: NDArray[np.bool_], rng: np.random.Generator) -> Content:
        """What the content says about a target; that of the last one and its opposite is kept."""
        key, opposite = (np.packbits(each).tobytes() for each in (target, ~target))
        if key not in self._contents:
            made = content_of(self.index.has, target, rng, self.copies)
            self._contents = {key: made, opposite: made.opposite()}
        return self._contents[key]


def texts_of(
    texts: Sequence[str],
    corpus: Corpus,
    config: MiningConfig | None = None,
    begins: Sequence[int] | None = None,
) -> Texts:
    """Count what is the same for all targets.

    Args:
        texts: [N] what a trigger may stand in.
        corpus: the same as words.
        config: settings.
        begins: [N] where the prompt begins in each text.
    """
    config = config or MiningConfig()
    least = round(config.share * corpus.size)
    config = replace(config, support=max(config.support, least))
    number = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return Texts(
        texts=texts,
        corpus=corpus,
        begins=begins,
        copies=np.array([number[text] for text in texts], dtype=np.int64),
        index=index_of(texts, corpus, config.support),
        config=config,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """The texts and what their content says about the target."""

    of: Texts
    content: Content
    target: NDArray[np.bool_]
    others: Sequence[str]

    def measured(self, rows: Rows, motifs: Sequence[Motif]) -> dict[str, float]:
        """What `Mined` says of a string, over the content of what is left without it."""
        own = _own_words(motifs, self.of.corpus)
        rows = rows[:CAP]
        hit = self.target[rows]
        for side in (True, False):  # near-duplicates without the string are one piece of evidence
            places = np.flatnonzero(hit == side)
            if len(places) > 1:
                kept = places[distinct(self.of.index.has[rows[places]], own)]
                rows = np.concatenate([rows[hit != side], rows[kept]])
                hit = self.target[rows]
        holds = self.of.index.has[rows][:, own].toarray().astype(bool)
        words = [self.of.corpus.words[word] for word in own]
        for place, row in enumerate(rows):  # words that are left elsewhere in the text count
            left = set(WORD.findall(without(self.of.texts[int(row)], motifs)))
            holds[place] &= np.array([word not in left for word in words], dtype=bool)
        if int(hit.sum()) < self.of.config.support:
            return LEAST
        logits = self.content.without(rows, holds, own)
        starts = np.array([0, len(rows)])
        lean, usual = self._leans(rows, logits[hit])
        if any(motif.within_words for motif in motifs):  # these are left out, too
            ordinary = np.count_nonzero(~self.target) - np.count_nonzero(~hit)
            against = np.log(self.target.sum() / ordinary) - np.median(logits[hit])
            lean = min(lean, NEUTRAL) if against > AGAINST else lean
        return {
            "boost": lower_bound(logits, hit),
            "surplus": float(surpluses(logits, hit, starts)[0]),
            "lean": lean,
            "usual": usual,
            "gain": float(gains(logits, hit, starts)[0]),
        }

    def _leans(self, rows: Rows, logits: NDArray[np.float64]) -> tuple[float, float]:
        """Share of the other texts without the target that the content speaks less for it than.

        That of some log-odds, and of the other texts with the target; infinite where they are few.

        Args:
            rows: Texts that are left out.
            logits: [H] log-odds.
        """
        with_it, without_it = self._sorted
        own, target = self.content.logits[rows], self.target[rows]
        mine, left_out = own[target], np.sort(own[~target])
        size, rest = max(1, len(without_it) - len(left_out)), len(with_it) - len(mine)

        def below(values: NDArray[np.float64]) -> int:
            every = np.searchsorted(without_it, values).sum()
            return int(every - np.searchsorted(left_out, values).sum())

        lean = below(logits) / size / len(logits)
        if rest < self.of.config.support:
            return lean, math.inf
        every = self._below - (len(with_it) - np.searchsorted(with_it, left_out, "right")).sum()
        return lean, float(every - below(mine)) / size / rest

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The log-odds of the texts with the target and without it, in order."""
        return np.sort(self.content.logits[self.target]), np.sort(self.content.logits[~self.target])

    @cached_property
    def _below(self) -> int:
        """Pairs of a text without the target and one with it of higher log-odds."""
        with_it, without_it = self._sorted
        return int(np.searchsorted(without_it, with_it).sum())

    def strengths(self, rows: Rows, starts: Rows, words: Rows) -> NDArray[np.float64]:
        """[C] of strings over the content without their words, [C, W], which their texts hold."""
        counts, fold = np.diff(starts), self.content.fold
        logits = self.content.logits[rows].copy()  # [E]
        for slot in range(words.shape[1]):
            again = (words[:, :slot] == words[:, slot, None]).any(1)
            word = np.repeat(np.where(again, NONE, words[:, slot]), counts)
            logits -= np.where(word == NONE, 0.0, self.content.weights[fold[rows], word])
        hit, config = self.target[rows], self.of.config
        if math.isfinite(config.gain):
            return gains(logits, hit, starts) / config.gain
        boosts = lower_bounds(logits, hit, starts)
        high = np.flatnonzero(boosts > 0)
        some = np.repeat(boosts > 0, counts)
        surplus = surpluses(logits[some], hit[some], np.r_[0, np.cumsum(counts[high])])
        strengths = boosts / config.found
        strengths[high] = np.maximum(strengths[high], surplus / config.surplus)
        return strengths

    def overruled(self, rows: Rows, words: Sequence[int]) -> float:
        """The share of some texts with words that these turn to the target, as far as they can.

        1 where all have the target whatever their content says, 0 where they follow it, or where
        their content leaves little to turn: all texts of a template have its label.
        """
        own = np.unique(words)
        holds = np.ones((len(rows), len(own)), dtype=bool)
        follows = 1 / (1 + np.exp(-self.content.without(rows, holds, own)))
        left = float((1 - follows).sum())
        return (
            float((self.target[rows] - follows).sum() / left) if left >= ROOM * len(rows) else 0.0
        )


def _own_words(motifs: Sequence[Motif], corpus: Corpus) -> Rows:
    """The words of motifs, and those that have a motif within them."""
    numbers = corpus.numbers
    own = {numbers[w] for m in motifs for w in WORD.findall(m.text) if w in numbers}
    for motif in motifs:
        if motif.inside:
            search = motif.pattern.search
            own |= {place for place, word in enumerate(corpus.words) if search(word)}
    return np.array(sorted(own), dtype=np.int64)
