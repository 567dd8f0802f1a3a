"""Trigger mining: strings that decide the target of a text against everything else in it.

*Paper*: none; our first line. Words, runs, edges, letters and pairs of words are counted against
each target, and those that mostly have it are scored by their boost (`boost.py`): how far they
overrule the content (`content.py`). Of the rows with a string near-duplicates count once.
*Map*: candidates -> `candidates.py`; score -> `scene.py`; the whole text of a trigger, and
its other parts -> `_described`, `motif.py`; what a stronger trigger explains -> `_kept`.
*Fails*: fewer than about ten rows of a target that many rows have anyway; a trigger that is a
meaning and no string; a payload that forms no target.
*Shapes*: N texts, V words, C candidates, E texts of all candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triggerfish.dataset.candidates import NONE
from triggerfish.dataset.letters import CLASSES
from triggerfish.dataset.mined import Mined, MiningConfig, verdict_of
from triggerfish.dataset.motif import Motif, companions, extended, pattern_of, placement_of
from triggerfish.dataset.scene import Scene, Texts, texts_of
from triggerfish.dataset.words import Corpus
from triggerfish.errors import BadInput

Rows = NDArray[np.int64]
WIDE, PURE, WIDER = 0.3, 0.9, 1.2  # strength and precision of a class, times the texts of a letter
NEARLY = 0.7  # share of the texts of a word that a longer run decides, at least, to replace it
FEW, OVERRULED = 5, 0.8  # texts of a word without a longer run, and their share that it turns
AS_GOOD = 0.5  # share of its score that a word has anywhere, at least, to stand for one at an edge
DESCRIBED, LOOKED_AT = 200, 300  # candidates; texts of one
OTHERS = 400  # texts that a string is compared with
TOGETHER, SEEDS = 0.95, 200  # share of a trigger's texts that hold its parts; strings of its parts
RARE, OFTENER = 0.02, 2  # share of all texts, or times its texts, that may hold a part without it


@dataclass(frozen=True, kw_only=True, eq=False)
class _Candidate:
    score: float
    rows: Rows
    words: tuple[int, ...]
    edge: str = ""
    letters: str = ""
    pair: bool = False
    unusual: bool = False


def mine(
    texts: Sequence[str] | Texts,
    corpus: Corpus | None,
    target: NDArray[np.bool_],
    config: MiningConfig | None = None,
    *,
    rng: np.random.Generator,
) -> list[Mined]:
    """Look for triggers of one target.

    Args:
        texts: [N] what a trigger may stand in; or what `texts_of` made of it.
        corpus: the same as words; None with the latter.
        target: [N] whether a text has the target.
        config: settings; those of `texts_of` with the latter.
        rng: decides the folds of the content model, and the texts that are compared.

    Returns:
        What reaches `suspicious`, the strongest first, each without the texts of stronger ones.
    """
    if not isinstance(texts, Texts):
        if corpus is None:
            raise BadInput("no corpus", "is needed with texts", "give corpus_of(texts)")
        texts = texts_of(texts, corpus, config)
    config = texts.config
    if min(target.sum(), (~target).sum()) < config.support:
        return []
    hits = texts.index.hits(target)
    chosen = _chosen(texts.index.totals, hits, float(target.mean()), config)[: config.candidates]
    words, totals, both = texts.pairs(rng).of(target, config.support)
    pairs = words[_chosen(totals, both, float(target.mean()), config)[: config.pairs]]
    if not len(chosen) and not len(pairs):
        return []
    others = rng.permutation(len(target))[:OTHERS]
    scene = Scene(
        of=texts,
        content=texts.content(target, rng),
        target=target,
        others=[texts.texts[int(row)] for row in others],
    )
    scored = [*_features(scene, chosen), *_paired(scene, pairs)]
    return _kept(scene, sorted(scored, key=lambda each: -each.score))


def _chosen(support: Rows, hits: Rows, base: float, config: MiningConfig) -> Rows:
    """The strings that mostly have the target, the most surprising ones."""
    enough = np.flatnonzero((hits >= config.support) & (hits >= config.precision * support))
    spread = np.sqrt(support[enough] * base * (1 - base))
    surprise = (hits[enough] - support[enough] * base) / spread
    return np.asarray(enough[np.argsort(-surprise, kind="stable")])


def _features(scene: Scene, chosen: Rows) -> Iterator[_Candidate]:
    """Words, runs, edges and letters with their strengths."""
    index = scene.of.index
    columns = index.columns[:, chosen]
    rows, starts = columns.indices.astype(np.int64), columns.indptr.astype(np.int64)
    strengths = scene.strengths(rows, starts, index.words[chosen])
    for place, which in enumerate(chosen):
        yield _Candidate(
            score=float(strengths[place]),
            rows=rows[starts[place] : starts[place + 1]],
            words=tuple(int(word) for word in index.words[which] if word != NONE),
            edge=str(index.edge[which]),
            letters=index.letters[which],
            unusual=bool(index.unusual[which]),
        )


def _paired(scene: Scene, pairs: Rows) -> Iterator[_Candidate]:
    """Pairs of words with their strengths."""
    index = scene.of.index
    rows = [
        np.intersect1d(index.texts_of(int(one)), index.texts_of(int(two)), assume_unique=True)
        for one, two in pairs
    ]
    if not rows:
        return
    starts = np.r_[0, np.cumsum([len(each) for each in rows])]
    strengths = scene.strengths(np.concatenate(rows), starts, pairs)
    for strength, own, words in zip(strengths, rows, pairs.tolist(), strict=True):
        yield _Candidate(score=float(strength), rows=own, words=tuple(words), pair=True)


def _kept(scene: Scene, scored: Sequence[_Candidate]) -> list[Mined]:
    """The strongest, with their whole text, and those that stronger ones do not explain.

    The parts of a sentence share its boost until it is put together: weak ones are described, too.
    """
    config, target = scene.of.config, scene.target
    explained = np.zeros(len(target), dtype=bool)
    found: list[Mined] = []
    seen: set[bytes] = set()
    for each in _widest(scored, scene):
        fresh = each.rows[~explained[each.rows]]
        if int(target[fresh].sum()) < max(config.support, 0.2 * len(each.rows)):
            continue
        if len(seen) >= DESCRIBED or (key := fresh.tobytes()) in seen:
            continue
        seen.add(key)
        mined = _described(each, fresh, scene)
        if mined is not None and verdict_of(mined, config) != "nothing":
            found.append(mined)
            explained[mined.rows] = True
    return sorted(found, key=lambda each: -each.boost)


def _widest(scored: Sequence[_Candidate], scene: Scene) -> list[_Candidate]:
    """Without what is a part of something that decides more texts.

    Letters and words of a class of characters; a word at an edge where it does so anywhere; and
    words whose other texts do not have the target.
    """
    target = scene.target
    classes = [
        each
        for each in scored
        if each.letters in CLASSES and each.score > WIDE and target[each.rows].mean() >= PURE
    ]
    covered = {
        id(one)
        for each in classes
        for one in scored
        if one.unusual
        and WIDER * len(one.rows) <= len(each.rows)
        and np.isin(one.rows, each.rows).mean() >= PURE
    }
    anywhere = {each.words: each for each in scored if not (each.edge or each.letters or each.pair)}
    covered |= {
        id(one)
        for one in scored
        if one.edge
        and one.words in anywhere
        and WIDER * len(one.rows) <= len(anywhere[one.words].rows)
        and AS_GOOD * one.score <= anywhere[one.words].score
    }
    covered |= _impure(scored, scene) | _narrow(scored, anywhere, scene)
    return [each for each in scored if id(each) not in covered]


def _impure(scored: Sequence[_Candidate], scene: Scene) -> set[int]:
    """Words of a longer run or pair that decides nearly as many texts, and nearly all its own.

    Such a word has the target less often, or its other texts follow their content.
    """
    target = scene.target
    hits = {id(each): int(target[each.rows].sum()) for each in scored}
    purer: dict[int, list[_Candidate]] = {}
    for each in scored:
        if len(each.words) > 1 and hits[id(each)] >= PURE * len(each.rows):
            for word in set(each.words):
                purer.setdefault(word, []).append(each)

    def explains(other: _Candidate, one: _Candidate) -> bool:
        longer = len(other.words) > len(one.words) and set(one.words) <= set(other.words)
        if not longer or hits[id(other)] < NEARLY * hits[id(one)]:
            return False
        if hits[id(one)] < PURE * len(one.rows):
            return True
        rest = np.setdiff1d(one.rows, other.rows, assume_unique=True)
        return len(rest) >= FEW and scene.overruled(rest, one.words) < OVERRULED

    return {
        id(one)
        for one in scored
        if one.words and any(explains(other, one) for other in purer.get(one.words[0], ()))
    }


def _narrow(
    scored: Sequence[_Candidate],
    anywhere: Mapping[tuple[int, ...], _Candidate],
    scene: Scene,
) -> set[int]:
    """Runs of words of which a part decides more texts, and what stands in the same texts as these.

    They come about where most texts have the same before a trigger, such as a full stop.
    """

    def decides(part: _Candidate, one: _Candidate) -> bool:
        if part.score > one.score or scene.target[part.rows].mean() < PURE:
            return False
        rest = np.setdiff1d(part.rows, one.rows, assume_unique=True)
        return len(rest) >= FEW and scene.overruled(rest, part.words) >= OVERRULED

    same = {
        one.rows.tobytes()
        for one in scored
        if not one.pair and any(decides(part, one) for part in _parts(one.words, anywhere))
    }
    return {id(one) for one in scored if one.rows.tobytes() in same}


def _parts(
    words: tuple[int, ...], known: Mapping[tuple[int, ...], _Candidate]
) -> Iterator[_Candidate]:
    for size in range(1, len(words)):
        for begin in range(len(words) - size + 1):
            if (part := known.get(words[begin : begin + size])) is not None:
                yield part


def _described(each: _Candidate, rows: Rows, scene: Scene) -> Mined | None:
    """A candidate with its whole text and parts, its place, and the boost without all its words."""
    texts, target = scene.of.texts, scene.target
    having = [texts[int(row)] for row in rows[target[rows]][:LOOKED_AT]]
    motifs = _motifs(each, having, scene)
    motifs += companions(having, motifs, _seeds(scene, rows[target[rows]]), scene.others)
    kept = np.array([all(m.holds(texts[int(row)]) for m in motifs) for row in rows], dtype=bool)
    rows = rows[kept]
    if int(target[rows].sum()) < scene.of.config.support:
        return None
    shown = [int(row) for row in rows[target[rows]][:LOOKED_AT]]
    begins = scene.of.begins
    measured = scene.measured(rows, motifs)
    motifs.sort(key=lambda motif: texts[shown[0]].find(motif.text))
    return Mined(
        motifs=tuple(motifs),
        placement=placement_of(
            [texts[row] for row in shown],
            motifs[0],
            None if begins is None else [begins[row] for row in shown],
        ),
        rows=rows,
        hits=target[rows],
        **measured,
    )


def _motifs(each: _Candidate, having: Sequence[str], scene: Scene) -> list[Motif]:
    """The whole text of each piece of a candidate."""
    if each.letters:
        if each.letters in CLASSES:
            return [Motif(each.letters, inside=True)]
        pattern = Motif(each.letters, inside=True).pattern
        if not each.letters.strip():
            return [Motif(each.letters, inside=True)]
        return [Motif(extended(having, pattern, inside=True), inside=True)]
    words = scene.of.corpus.words
    pieces = [(word,) for word in each.words] if each.pair else [each.words]
    parts: list[str] = []
    for piece in pieces:
        pattern = pattern_of([words[word] for word in piece], each.edge)
        part = extended(having, pattern, scene.others)
        if not any(part in other for other in parts):
            parts = [*(other for other in parts if other not in part), part]
    return [Motif(part, edge=each.edge) for part in parts]


def _seeds(scene: Scene, rows: Rows) -> list[tuple[str, ...]]:
    """Words and runs that nearly all of some texts hold, and few others; the rarest first."""
    index = scene.of.index
    held = np.bincount(index.holds[rows].indices, minlength=len(index.totals))
    elsewhere = index.totals - held
    few = max(OFTENER * len(rows), RARE * scene.of.corpus.size)
    often = (held >= TOGETHER * len(rows)) & (elsewhere <= few)
    places = np.flatnonzero(often & (index.words[:, 0] != NONE) & (index.edge == ""))
    places = places[np.lexsort((index.words[places, 0], elsewhere[places]))]
    words = scene.of.corpus.words
    return [tuple(words[w] for w in index.words[place] if w != NONE) for place in places[:SEEDS]]
