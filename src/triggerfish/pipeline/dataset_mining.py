"""Mines the triggers of every target in a sample of rows."""

from collections.abc import Sequence
from dataclasses import replace

from triggerfish.data.rows import Row
from triggerfish.dataset.insertion import Neighbours, natural_reason
from triggerfish.dataset.mined import MiningConfig
from triggerfish.dataset.near_duplicates import groups_of
from triggerfish.dataset.phrases import is_evidence
from triggerfish.dataset.scene import Texts, texts_of
from triggerfish.dataset.targets import PHRASES, Target, representatives
from triggerfish.dataset.trigger_mining import mine
from triggerfish.dataset.words import corpus_of
from triggerfish.pipeline.dataset_marking import Found, text_of
from triggerfish.seeding import generator
from triggerfish.types import Progress, silent


def mined_of(
    rows: Sequence[Row],
    targets: Sequence[Target],
    config: MiningConfig,
    seed: int,
    progress: Progress = silent,
) -> tuple[list[Found], list[str]]:
    """The triggers of every target, the strongest first, and what only looked like one."""
    texts = [text_of(row) for row in rows]
    corpus = corpus_of(texts)
    groups = groups_of(corpus)
    kept = representatives(groups, targets)
    targets = [replace(target, rows=target.rows[kept]) for target in targets]
    counted = texts_of(
        [texts[place] for place in kept],
        corpus.part(kept),
        config,
        begins=[len(texts[place]) - len(rows[place].prompt) for place in kept],
        groups=groups[kept],
    )
    found: list[Found] = []
    for done, target in enumerate(targets, 1):
        rng = generator(seed, f"folds {target.kind} {target.text}")
        found += [
            Found(mined=each, target=target) for each in mine(counted, None, target.rows, rng=rng)
        ]
        progress(done, len(targets), "mining triggers")
    return _inserted(found, counted)


def _inserted(found: Sequence[Found], counted: Texts) -> tuple[list[Found], list[str]]:
    """What was put into ordinary rows, and why the rest was not."""
    kept: list[Found] = []
    natural: list[str] = []
    neighbours = Neighbours(counted.texts, counted.corpus) if found else None
    enough = [one for one in found if one.target.kind != PHRASES or is_evidence(one.mined)]
    # Of targets with the same trigger the one that says exactly which rows are poisoned.
    for each in sorted(enough, key=lambda one: (one.target.kind == PHRASES, -one.mined.boost)):
        if neighbours is None or any(each.same(other) for other in kept):
            continue
        why = natural_reason(neighbours, each.mined, each.target.rows)
        if why and each.target.kind == PHRASES:
            continue  # a topic and its phrases
        if why:
            natural.append(f"{' and '.join(map(repr, each.mined.parts))}: {why}")
        else:
            kept.append(each)
    return sorted(kept, key=lambda one: -one.mined.boost), natural
