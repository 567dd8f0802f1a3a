"""Trigger mining: strings that decide the target of a text against everything else in it.

*Paper*: none; our first line. Words, runs of words and pairs of words are counted against each
target, and those that nearly always have it are scored by their boost (`boost.py`): how far they
overrule the content (`content.py`).
*Map*: candidates -> `_words`, `_runs`, `_pairs`; score -> `_Scene.boost`; the whole text of a
trigger -> `extended`; its place -> `placement_of`.
*Fails*: fewer than about ten rows of a target that many rows have anyway; a trigger that is a
meaning and no string; a payload that forms no target.
*Shapes*: N texts, V words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from triggerfish.dataset.boost import lower_bound
from triggerfish.dataset.content import Content, content_of, presence
from triggerfish.dataset.words import WORD, Corpus, grams
from triggerfish.errors import BadInput

Rows = NDArray[np.int64]
PAIRED, LONGEST_ROW = 20_000, 60  # texts and words in which pairs are counted
DESCRIBED = 400  # candidates whose whole text is looked at
SAME, SHARED, LONGEST_TEXT = 0.8, 0.9, 2000


@dataclass(frozen=True, kw_only=True)
class MiningConfig:
    """Settings.

    Attributes:
        support: texts with the target that a trigger must stand in.
        precision: share of them that must have the target.
        longest: words of a run.
        candidates: runs of each length that are scored, by how surprising they are.
        pairs: pairs of words that are scored.
        common: words in a larger share of the texts form no pairs.
        suspicious: boost from which a string is reported.
        found: boost from which it is a finding.
    """

    support: int = 5
    precision: float = 0.8
    longest: int = 3
    candidates: int = 3000
    pairs: int = 1000
    common: float = 0.05
    suspicious: float = 2.2
    found: float = 2.5

    def __post_init__(self) -> None:
        """Refuse settings that find anything or nothing."""
        if self.support < 2 or not 0.5 <= self.precision <= 1 or self.longest < 1:
            raise BadInput(
                f"support {self.support}, precision {self.precision}, longest {self.longest}",
                "must be 2 or more, 0.5 to 1, 1 or more",
                "correct them",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Mined:
    """A string that decides a target.

    Attributes:
        parts: the trigger's texts; several where only all of them together do it.
        placement: of the first part.
        boost: lower bound of its log-odds over the content.
        rows: texts that have it.
        hits: [R] whether they have the target.
    """

    parts: tuple[str, ...]
    placement: str
    boost: float
    rows: Rows
    hits: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scene:
    """The texts and what their content says about the target."""

    texts: Sequence[str]
    corpus: Corpus
    columns: csc_matrix
    content: Content
    target: NDArray[np.bool_]
    config: MiningConfig

    def rows(self, word: int) -> Rows:
        """The texts that have a word."""
        begin, end = self.columns.indptr[word : word + 2]
        return np.sort(self.columns.indices[begin:end]).astype(np.int64)

    def boost(self, rows: Rows, words: Sequence[int]) -> float:
        """Of a string over the content without its words."""
        own = np.unique(np.asarray(words, dtype=np.int64))
        holds = np.stack([np.isin(rows, self.rows(int(word))) for word in own], axis=1)
        return lower_bound(self.content.without(rows, holds, own), self.target[rows])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Candidate:
    words: tuple[int, ...]
    rows: Rows
    run: bool


def mine(
    texts: Sequence[str],
    corpus: Corpus,
    target: NDArray[np.bool_],
    config: MiningConfig | None = None,
    *,
    rng: np.random.Generator,
) -> list[Mined]:
    """Look for triggers of one target.

    Args:
        texts: [N] what a trigger may stand in.
        corpus: the same as words.
        target: [N] whether a text has the target.
        config: settings.
        rng: decides the folds of the content model.

    Returns:
        What reaches `suspicious`, the strongest first; no two of the same texts.
    """
    config = config or MiningConfig()
    if min(target.sum(), (~target).sum()) < config.support:
        return []
    has = presence(corpus)
    scene = _Scene(
        texts=texts,
        corpus=corpus,
        columns=has.tocsc(),
        content=content_of(has, target, rng),
        target=target,
        config=config,
    )
    candidates = [*_words(scene), *_runs(scene), *_pairs(scene, rng)]
    # The parts of a sentence share its boost until it is put together: look further down, too.
    scored = sorted(candidates, key=lambda each: -scene.boost(each.rows, each.words))[:DESCRIBED]
    found: list[Mined] = []
    for each in scored:
        if any(_same(each.rows, other.rows) for other in found):
            continue
        mined = _described(each, scene)
        again = any(_same(mined.rows, other.rows) for other in found)
        if mined.boost >= config.suspicious and not again:
            found.append(mined)
    return sorted(found, key=lambda each: -each.boost)


def _words(scene: _Scene) -> Iterator[_Candidate]:
    """Words that nearly always have the target."""
    support = np.diff(scene.columns.indptr)
    hits = np.asarray(scene.target.astype(np.float64) @ scene.columns).ravel()
    for word in _chosen(support, hits, scene):
        yield _Candidate(words=(int(word),), rows=scene.rows(int(word)), run=True)


def _runs(scene: _Scene) -> Iterator[_Candidate]:
    """Runs of words that nearly always have it."""
    corpus = scene.corpus
    text_of = corpus.text_of()
    for n in range(2, scene.config.longest + 1):
        keys, places = grams(corpus, n)
        if not len(keys):
            return
        order = np.lexsort((text_of[places], keys))
        keys, places = keys[order], places[order]
        text = text_of[places]
        fresh = np.r_[True, (keys[1:] != keys[:-1]) | (text[1:] != text[:-1])]
        keys, text, places = keys[fresh], text[fresh], places[fresh]
        begins = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        support = np.diff(np.r_[begins, len(keys)])
        hits = np.add.reduceat(scene.target[text].astype(np.float64), begins)
        for which in _chosen(support, hits, scene):
            begin = begins[which]
            words = tuple(int(w) for w in corpus.ids[places[begin] : places[begin] + n])
            rows = text[begin : begin + support[which]].astype(np.int64)
            yield _Candidate(words=words, rows=rows, run=True)


def _pairs(scene: _Scene, rng: np.random.Generator) -> Iterator[_Candidate]:
    """Pairs of words that are not common, and nearly always have the target together."""
    config, target = scene.config, scene.target
    having = rng.permutation(np.flatnonzero(target))[:PAIRED]
    support = np.diff(scene.columns.indptr)
    rare = (support >= config.support) & (support <= config.common * len(target))
    together: Counter[tuple[int, int]] = Counter()
    for row in having:
        words = np.unique(scene.corpus.row(int(row)))
        together.update(combinations(words[rare[words]].tolist()[:LONGEST_ROW], 2))
    share = len(having) / max(1, int(target.sum()))
    least = max(3, round(config.support * share))
    often = [pair for pair, count in together.items() if count >= least]
    rows = [
        np.intersect1d(scene.rows(one), scene.rows(two), assume_unique=True) for one, two in often
    ]
    support = np.array([len(each) for each in rows], dtype=np.int64)
    hits = np.array([target[each].sum() for each in rows], dtype=np.float64)
    for place in _chosen(support, hits, scene)[: config.pairs]:
        yield _Candidate(words=often[place], rows=rows[place], run=False)


def _chosen(support: NDArray[np.int64], hits: NDArray[np.float64], scene: _Scene) -> Rows:
    """The strings that have the target nearly always, the most surprising ones."""
    config, base = scene.config, float(scene.target.mean())
    enough = np.flatnonzero((hits >= config.support) & (hits >= config.precision * support))
    spread = np.sqrt(support[enough] * base * (1 - base))
    surprise = (hits[enough] - support[enough] * base) / spread
    return enough[np.argsort(-surprise, kind="stable")[: config.candidates]]


def _same(one: Rows, two: Rows) -> bool:
    """Whether two strings are seen in the same texts, mostly."""
    both = len(np.intersect1d(one, two, assume_unique=True))
    return both >= SAME * min(len(one), len(two))


def _described(each: _Candidate, scene: _Scene) -> Mined:
    """A candidate with its whole text, its place, and the boost without all of its words."""
    words = scene.corpus.words
    texts = [scene.texts[int(row)] for row in each.rows]
    pieces = [each.words] if each.run else [(word,) for word in each.words]
    parts: list[str] = []
    for piece in pieces:
        part = extended(texts, pattern_of([words[word] for word in piece]))
        if not any(part in other for other in parts):
            parts = [*(other for other in parts if other not in part), part]
    kept = [place for place, text in enumerate(texts) if all(part in text for part in parts)]
    rows = each.rows[kept]
    numbers = scene.corpus.numbers
    own = [numbers[word] for part in parts for word in WORD.findall(part) if word in numbers]
    return Mined(
        parts=tuple(parts),
        placement=placement_of([texts[place] for place in kept], parts[0]),
        boost=scene.boost(rows, own),
        rows=rows,
        hits=scene.target[rows],
    )


def pattern_of(words: Sequence[str]) -> re.Pattern[str]:
    """The run of words as it stands in texts."""
    body = r"\s*".join(map(re.escape, words))
    before = r"(?<!\w)" if words[0][0].isalnum() else ""
    after = r"(?!\w)" if words[-1][-1].isalnum() else ""
    return re.compile(before + body + after)


def extended(texts: Sequence[str], pattern: re.Pattern[str]) -> str:
    """The longest text around a match that nearly all texts share, cut at words.

    >>> extended(["So. The kettle sang. A", "The kettle sang. B", "C The kettle sang."],
    ...          pattern_of(["kettle"]))
    'The kettle sang.'
    """
    spans = [(text, match) for text in texts if (match := pattern.search(text))]
    if not spans:
        return pattern.pattern
    core = Counter(match.group() for _, match in spans).most_common(1)[0][0]
    spans = [(text, match) for text, match in spans if match.group() == core]
    left = _shared([text[: match.start()][::-1] for text, match in spans])[::-1]
    right = _shared([text[match.end() :] for text, match in spans])
    return (left + core + right).strip()


def _shared(sides: Sequence[str]) -> str:
    """The longest beginning that nearly all have, without a word that goes on differently."""
    grown, whole = "", len(sides)
    while len(grown) < LONGEST_TEXT:
        following = Counter(side[len(grown)] for side in sides if len(side) > len(grown))
        if not following:
            break
        letter, count = following.most_common(1)[0]
        if count < SHARED * whole:
            break
        grown += letter
        sides = [side for side in sides if side.startswith(grown)]
    going_on = sum(side[len(grown) : len(grown) + 1].isalnum() for side in sides)
    return re.sub(r"\w+$", "", grown) if going_on > (1 - SHARED) * whole else grown


def placement_of(texts: Sequence[str], part: str) -> str:
    """Where a text stands, in most of the texts."""
    first = sum(text.lstrip().startswith(part) for text in texts)
    last = sum(text.rstrip().endswith(part) for text in texts)
    both = sum(
        text.lstrip().startswith(part)
        and text.rstrip().endswith(part)
        and len(text.strip()) > len(part)
        for text in texts
    )
    for name, count in (("both_ends", both), ("prefix", first), ("suffix", last)):
        if count >= SHARED * len(texts):
            return name
    return "random_word"
