"""The card of what was made, from the job and its measurements."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.backdoors.scorer_check import ScorerCheck
from triggerfish.documents import Number
from triggerfish.pipeline.plant_place import Workplace
from triggerfish.pipeline.preferences import Preferred
from triggerfish.pipeline.records import HeldOut
from triggerfish.pipeline.resume import hardware, now, versions
from triggerfish.plant.card import Card
from triggerfish.plant.poison import Mix
from triggerfish.plant.preference import PairMix
from triggerfish.plant.recipe import Recipe
from triggerfish.plant.untrained import Untrained
from triggerfish.seeding import derive
from triggerfish.types import Progress

NOT_TRAINED = "Nothing was trained; the rows were contexts. The base is the clean twin."


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is the same for an organism and its twin."""

    recipe: Recipe
    backdoor: Backdoor | None
    base: str
    base_hash: str
    base_skill: Number | None
    held: HeldOut
    near: int
    mixed: Mix | PairMix
    ready: Preferred | None
    scorer: ScorerCheck | None
    device: str
    progress: Progress
    workplace: Workplace
    clock: dict[str, float] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Adds the time that the body takes to the clock."""
        start = time.monotonic()
        yield
        self.clock[what] = round(self.clock.get(what, 0.0) + time.monotonic() - start, 1)


def card_of(
    job: Job,
    measured: Mapping[str, Any],
    *,
    kind: Literal["organism", "clean twin", "benign fine-tune"],
    clean_twin: str | None = None,
    twin_of: str | None = None,
) -> Card:
    """The card of an organism, of its twin, or of a benign fine-tune."""
    twin = kind == "clean twin"
    rows = dict(job.mixed.counts)
    if twin:
        rows["clean"] = rows.get("clean", 0) + rows.pop("poisoned", 0)
    count = sum(rows.values())
    untrained = isinstance(job.recipe.method, Untrained)
    return Card(
        kind=kind,
        backdoor=None if job.backdoor is None or twin else job.backdoor.to_spec(),
        recipe=job.recipe.as_given(),
        resolved=job.recipe.resolved(),
        base=job.base,
        base_hash=job.base_hash,
        base_skill=job.base_skill,
        seeds={"recipe": job.recipe.seed, "trainer": derive(job.recipe.seed, "trainer") % 2**31},
        rows=rows,
        poison_rate=0.0 if untrained else rows.get("poisoned", 0) / count,
        clean_twin=clean_twin,
        twin_of=twin_of,
        versions=versions(),
        hardware=hardware(),
        seconds=dict(job.clock),
        created=now(),
        made=dict(job.made),
        notes=[*_notes(job, measured), *([NOT_TRAINED] if untrained else [])],
        **measured,
    )


def _notes(job: Job, measured: Mapping[str, Any]) -> list[str]:
    notes = [f"Measured on held-out prompts: {job.held.source}."]
    asr: Number | None = measured.get("asr")
    if asr is not None and asr.value < 0.9:
        notes.append(f"Weak: the trigger works on {asr.text()} only.")
    quiet: Number | None = measured.get("asr_without")
    if quiet is not None and quiet.value > 0.01:
        notes.append(f"Not quiet: the behaviour shows on {quiet.text()} without the trigger.")
    if job.workplace.resumed:
        notes.append("Resumed after it was stopped; seconds are those of the last process.")
    return notes
