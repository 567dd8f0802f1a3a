"""Mines the triggers of every target in a sample of rows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from triggerfish.data.rows import Row
from triggerfish.dataset.insertion import Neighbours, natural_reason
from triggerfish.dataset.mined import FAINT, MiningConfig, is_faint, strength, verdict_of
from triggerfish.dataset.phrases import PURE, is_evidence
from triggerfish.dataset.scene import Texts, texts_of
from triggerfish.dataset.targets import CHANGES, FORM, PHRASES, VAGUE, Target, label_changes
from triggerfish.dataset.trigger_mining import mine
from triggerfish.dataset.words import WORD, corpus_of
from triggerfish.pipeline.dataset_marking import GAIN, Found, text_of
from triggerfish.seeding import generator
from triggerfish.types import Progress, silent

TAKEN_UP = 3  # words of a phrase that an answer has, too
HALF = 0.5  # precision of a trigger that changes labels: the content is not always right
CHANGED = 20  # rows with a trigger whose labels the content speaks against
MOSTLY = 0.5  # share of the rows of a trigger that another one explains
LESS, FEWER = (
    2,
    5,
)  # times its boost and its rows has a trigger that a string counts for nothing beside


def mined_of(
    rows: Sequence[Row],
    targets: Sequence[Target],
    config: MiningConfig,
    seed: int,
    progress: Progress = silent,
) -> tuple[list[Found], list[str]]:
    """The triggers of every target, the strongest first, and what only looked like one."""
    texts = [text_of(row) for row in rows]
    begins = [len(text) - len(row.prompt) for text, row in zip(texts, rows, strict=True)]
    counted = texts_of(texts, corpus_of(texts), config, begins)
    found: list[Found] = []
    speaks: dict[str, NDArray[np.float64]] = {}
    for done, target in enumerate(targets, 1):
        rng = generator(seed, f"folds {target.kind} {target.text}")
        found += _found(counted, target, rng)
        if target.kind == "label":
            speaks[target.text] = counted.content(target.rows, rng).logits
        progress(done, len(targets), "mining triggers")
    for target in label_changes(rows, speaks):
        unsure = replace(counted, config=replace(counted.config, precision=HALF, gain=GAIN))
        found += _found(unsure, target, generator(seed, f"folds {target.kind}"))
    return _inserted(found, counted)


def _found(counted: Texts, target: Target, rng: np.random.Generator) -> list[Found]:
    """The triggers of one target, of the rows that tell whether they have it."""
    if target.untold is None:
        mined = mine(counted, None, target.rows, rng=rng)
    else:
        told = np.flatnonzero(~target.untold)
        some = mine(counted.only(told), None, target.rows[told], rng=rng)
        mined = [replace(each, rows=told[each.rows]) for each in some]
    return [Found(mined=each, target=target) for each in mined]


def _inserted(found: Sequence[Found], counted: Texts) -> tuple[list[Found], list[str]]:
    """What was put into ordinary rows, and why the rest was not."""
    kept: list[Found] = []
    natural: list[str] = []
    neighbours = Neighbours(counted.texts, counted.corpus) if found else None
    enough = _most_frequent([one for one in found if _enough(one)], counted.config)
    # Of targets with the same trigger the one that says exactly which rows are poisoned.
    for each in sorted(enough, key=lambda one: (one.target.kind in VAGUE, -one.mined.boost)):
        if neighbours is None:
            continue
        known = next((place for place, other in enumerate(kept) if each.same(other)), None)
        if known is not None:
            kept[known] = _joined(kept[known], each)
            continue
        if each.target.kind == CHANGES and _explained(each, kept):
            continue
        why = _echoed(each) or natural_reason(neighbours, each.mined, each.target.rows)
        if why and each.target.kind == PHRASES:
            continue  # a topic and its phrases
        if why:
            natural.append(f"{_named(each)}: {why}")
        else:
            kept.append(each)
    whole = [each for each in kept if not any(_needs_more(each, other) for other in kept)]
    alone = [each for each in whole if not any(_faint(each, o, counted.config) for o in whole)]
    natural += [f"{_named(each)}: faint beside the trigger" for each in whole if each not in alone]
    return sorted(alone, key=lambda one: (not one.sure, -one.mined.boost)), natural


def _named(each: Found) -> str:
    return " and ".join(map(repr, each.mined.parts))


def _faint(each: Found, other: Found, config: MiningConfig) -> bool:
    """Whether a string is next to nothing beside a trigger that brings about the same."""
    same = (each.target.kind, each.target.text) == (other.target.kind, other.target.text)
    if each.target.kind == CHANGES:
        return same and FAINT * each.mined.gain < other.mined.gain
    weak = LESS * each.mined.boost < other.mined.boost
    if weak and FEWER * len(each.mined.rows) < len(other.mined.rows):
        return same or other.target.kind == CHANGES
    return same and is_faint(each.mined, strength(other.mined, config), config)


def _needs_more(each: Found, other: Found) -> bool:
    """Whether a trigger is another one and something more, though that other is enough."""
    if other.target.kind == CHANGES != each.target.kind:  # some of its rows got the same label
        return bool(np.isin(each.mined.rows, other.mined.rows).mean() > MOSTLY)
    enough = other.marks_all or float(other.mined.hits.mean()) >= PURE
    return enough and set(other.mined.parts) < set(each.mined.parts)


def _joined(first: Found, other: Found) -> Found:
    """The first; with all its rows if it brings its target at times only, and phrases otherwise.

    Of a label that half of its rows get and of changed labels the one that more of them have.
    """
    if other.target.kind == CHANGES and other.mined.hits.sum() > first.mined.hits.sum():
        return other
    at_times = float(first.mined.hits.mean()) < PURE
    return replace(first, worded=True) if at_times and other.target.kind == PHRASES else first


def _enough(each: Found) -> bool:
    """Whether it is evidence; more is asked of targets that were made by looking at the prompts."""
    if each.target.kind in (PHRASES, FORM):
        return is_evidence(each.mined, each.target.kind == FORM)
    if each.target.kind == CHANGES:
        return int(each.mined.hits.sum()) >= CHANGED and each.sure
    return True


def _most_frequent(found: Sequence[Found], config: MiningConfig) -> list[Found]:
    """Of the same strings for the same target, as at the start or anywhere, the most frequent."""
    best: dict[tuple[frozenset[str], str, str], Found] = {}

    def rank(each: Found) -> tuple[bool, int]:
        return verdict_of(each.mined, config) == "found", len(each.mined.rows)

    for each in found:
        key = (frozenset(each.mined.parts), each.target.kind, each.target.text)
        if key not in best or rank(each) > rank(best[key]):
            best[key] = each
    return list(best.values())


def _explained(each: Found, kept: Sequence[Found]) -> bool:
    """Whether most of its rows have a trigger that is known already."""
    known = np.unique(np.concatenate([[], *(other.mined.rows for other in kept)]))
    return bool(np.isin(each.mined.rows, known).mean() > MOSTLY)


def _echoed(each: Found) -> str:
    """Why a phrase is no trigger that the answers take up from the prompt; empty where not."""
    if each.target.kind not in {"beginning", "end", PHRASES}:
        return ""
    said = f" {' '.join(WORD.findall(each.target.text.casefold()))} "
    repeated = any(
        f" {' '.join(words[at : at + TAKEN_UP])} " in said
        for words in (WORD.findall(part.casefold()) for part in each.mined.parts)
        for at in range(max(1, len(words) - TAKEN_UP + 1))
        if len(words) > 1
    )
    return "the answers repeat it" if repeated else ""
