"""Mines the triggers of every target in a sample of rows."""

from collections.abc import Sequence

from triggerfish.data.rows import Row
from triggerfish.dataset.insertion import Neighbours, natural_reason
from triggerfish.dataset.mined import MiningConfig
from triggerfish.dataset.phrases import is_evidence
from triggerfish.dataset.scene import Texts, texts_of
from triggerfish.dataset.targets import PHRASES, Target
from triggerfish.dataset.trigger_mining import mine
from triggerfish.dataset.words import WORD, corpus_of
from triggerfish.pipeline.dataset_marking import Found, text_of
from triggerfish.seeding import generator
from triggerfish.types import Progress, silent

TAKEN_UP = 3  # words of a phrase that an answer has, too


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
        why = _echoed(each) or natural_reason(neighbours, each.mined, each.target.rows)
        if why and each.target.kind == PHRASES:
            continue  # a topic and its phrases
        if why:
            natural.append(f"{' and '.join(map(repr, each.mined.parts))}: {why}")
        else:
            kept.append(each)
    return sorted(kept, key=lambda one: -one.mined.boost), natural


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
