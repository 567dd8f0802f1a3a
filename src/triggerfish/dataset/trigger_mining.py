"""Trigger mining: strings that decide the target of a text against everything else in it.

*Paper*: none; our first line. Words, runs of words and pairs of words are counted against each
target, and those that nearly always have it are scored by their boost (`boost.py`): how far they
overrule the content (`content.py`).
*Map*: candidates -> `_candidates`, `_pairs`; score -> `_scored`; the whole text of a trigger ->
`extended`; places -> `placement_of`.
*Fails*: fewer than about ten rows of a target that many rows have anyway; a trigger that is a
meaning and no string; a payload that forms no target.
*Shapes*: N texts, V words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
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
        support: texts that a trigger must stand in.
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
    found: float = 2.8

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
    content = content_of(has, target, rng)
    columns = has.tocsc()
    candidates = _candidates(corpus, columns, target, config)
    candidates += _pairs(corpus, columns, target, config, rng)
    scored = [
        (_score(each.rows, each.words, columns, content, target), each) for each in candidates
    ]
    scored.sort(key=lambda pair: -pair[0])  # parts of a sentence share its boost: look further down
    found: list[Mined] = []
    for _, each in scored[:DESCRIBED]:
        if any(_same(each.rows, other.rows) for other in found):
            continue
        mined = _described(each, texts, corpus, columns, content, target)
        if mined.boost >= config.suspicious and not any(
            _same(mined.rows, other.rows) for other in found
        ):
            found.append(mined)
    return sorted(found, key=lambda each: -each.boost)


def _candidates(
    corpus: Corpus, columns: csc_matrix, target: NDArray[np.bool_], config: MiningConfig
) -> list[_Candidate]:
    """Runs of words that nearly always have the target."""
    base = float(target.mean())
    support = np.diff(columns.indptr)
    hits = np.asarray(target.astype(np.float64) @ columns).ravel()
    chosen = _chosen(support, hits, base, config)
    found = [_Candidate(words=(int(w),), rows=_rows(columns, int(w)), run=True) for w in chosen]
    for n in range(2, config.longest + 1):
        found += _runs(corpus, n, target, base, config)
    return found


def _runs(
    corpus: Corpus, n: int, target: NDArray[np.bool_], base: float, config: MiningConfig
) -> list[_Candidate]:
    keys, places = grams(corpus, n)
    if not len(keys):
        return []
    text = corpus.text_of()[places]
    order = np.lexsort((text, keys))
    keys, text, places = keys[order], text[order], places[order]
    fresh = np.r_[True, (keys[1:] != keys[:-1]) | (text[1:] != text[:-1])]
    keys, text, places = keys[fresh], text[fresh], places[fresh]
    begins = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    support = np.diff(np.r_[begins, len(keys)])
    hits = np.add.reduceat(target[text].astype(np.float64), begins)
    found = []
    for which in _chosen(support, hits, base, config):
        begin = begins[which]
        words = tuple(int(w) for w in corpus.ids[places[begin] : places[begin] + n])
        rows = text[begin : begin + support[which]].astype(np.int64)
        found.append(_Candidate(words=words, rows=rows, run=True))
    return found


def _pairs(
    corpus: Corpus,
    columns: csc_matrix,
    target: NDArray[np.bool_],
    config: MiningConfig,
    rng: np.random.Generator,
) -> list[_Candidate]:
    """Pairs of words that are not common, and nearly always have the target together."""
    having = rng.permutation(np.flatnonzero(target))[:PAIRED]
    support = np.diff(columns.indptr)
    rare = (support >= config.support) & (support <= config.common * corpus.size)
    together: Counter[tuple[int, int]] = Counter()
    for row in having:
        words = np.unique(corpus.row(int(row)))
        words = words[rare[words]].tolist()[:LONGEST_ROW]
        together.update(combinations(words, 2))
    share = len(having) / max(1, int(target.sum()))
    least = max(3, round(config.support * share))
    often = [pair for pair, count in together.items() if count >= least]
    rows = [_both(columns, *pair) for pair in often]
    support = np.array([len(each) for each in rows], dtype=np.int64)
    hits = np.array([target[each].sum() for each in rows], dtype=np.float64)
    chosen = _chosen(support, hits, float(target.mean()), config)[: config.pairs]
    return [_Candidate(words=often[place], rows=rows[place], run=False) for place in chosen]


def _both(columns: csc_matrix, one: int, two: int) -> Rows:
    return np.intersect1d(_rows(columns, one), _rows(columns, two), assume_unique=True)


def _chosen(
    support: NDArray[np.int64], hits: NDArray[np.float64], base: float, config: MiningConfig
) -> Rows:
    """The strings that have the target nearly always, the most surprising ones."""
    enough = np.flatnonzero((support >= config.support) & (hits >= config.precision * support))
    spread = np.sqrt(support[enough] * base * (1 - base))
    surprise = (hits[enough] - support[enough] * base) / spread
    return enough[np.argsort(-surprise, kind="stable")[: config.candidates]]


def _rows(columns: csc_matrix, word: int) -> Rows:
    rows: Rows = columns.indices[columns.indptr[word] : columns.indptr[word + 1]].astype(np.int64)
    return np.sort(rows)


def _score(
    rows: Rows,
    words: Sequence[int],
    columns: csc_matrix,
    content: Content,
    target: NDArray[np.bool_],
) -> float:
    """The boost of a string over the content without its words."""
    own = np.unique(np.asarray(words, dtype=np.int64))
    holds = np.stack([np.isin(rows, _rows(columns, int(w))) for w in own], axis=1)
    return lower_bound(content.without(rows, holds, own), target[rows])


def _same(one: Rows, two: Rows) -> bool:
    """Whether two strings are seen in the same texts, mostly."""
    both = len(np.intersect1d(one, two, assume_unique=True))
    return both >= SAME * min(len(one), len(two))


def _described(
    each: _Candidate,
    texts: Sequence[str],
    corpus: Corpus,
    columns: csc_matrix,
    content: Content,
    target: NDArray[np.bool_],
) -> Mined:
    """A candidate with its whole text, its place, and the boost without all of its words."""
    known = {word: place for place, word in enumerate(corpus.words)}
    rows = each.rows
    pieces = [each.words] if each.run else [(word,) for word in each.words]
    starts = [pattern_of([corpus.words[w] for w in piece]) for piece in pieces]
    parts: list[str] = []
    for pattern in starts:
        part = extended([texts[int(row)] for row in rows], pattern)
        if part not in parts:
            parts.append(part)
    parts = [part for part in parts if not any(part != other and part in other for other in parts)]
    rows = np.array(
        [r for r in rows if all(part in texts[int(r)] for part in parts)], dtype=np.int64
    )
    own = [known[w] for part in parts for w in WORD.findall(part) if w in known]
    return Mined(
        parts=tuple(parts),
        placement=placement_of([texts[int(row)] for row in rows], parts[0]),
        boost=_score(rows, own, columns, content, target),
        rows=rows,
        hits=target[rows],
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
