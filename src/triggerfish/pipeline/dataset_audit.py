"""Audits training data: reads it once to look for triggers, and once more to mark its rows.

Triggers are mined in a sample that fits into memory whatever the file's size; the presets above
`quick` let further methods rank rows, and mine the groups that they find among the answers, too.
Then every row of the file is compared with what was found. Nothing is changed in place.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from triggerfish.data.copying import Copier
from triggerfish.dataset.forms import form_targets
from triggerfish.dataset.mined import MiningConfig
from triggerfish.dataset.phrases import phrase_targets
from triggerfish.dataset.targets import CHANGES, GROUP, targets_of
from triggerfish.documents import Number
from triggerfish.errors import CouldNotTest
from triggerfish.metrics.rates import wilson
from triggerfish.pipeline.dataset_document import DatasetDocument, MinedTrigger
from triggerfish.pipeline.dataset_marking import Found, described, mark
from triggerfish.pipeline.dataset_methods import (
    LOOKED,
    MODEL,
    Looked,
    Opinions,
    Preset,
    chosen_methods,
    opinions,
    some_of,
)
from triggerfish.pipeline.dataset_mining import mined_of
from triggerfish.pipeline.dataset_reading import Reading, Source, first_pass
from triggerfish.pipeline.dataset_report import dataset_report
from triggerfish.report.record import Verdict
from triggerfish.types import Progress, silent

FEWEST = 50  # rows that an audit needs
NOT_TESTED = [
    "triggers that are a meaning, or a style, and no string",
    "payloads whose answers share no label, beginning, end, phrase or form, and are no refusals",
    "fewer than five poisoned rows or 0.05 %, and shares that do not stand out from the content",
    "triggers that were written into sentences of their own rather than put into ordinary rows",
    "poison in rows of one kind only, whose content gives the target away by itself",
]


def audit_dataset(
    data: str | Path | Iterable[Any],
    *,
    columns: Mapping[str, str] | None = None,
    preset: Preset = "quick",
    methods: Sequence[str] | None = None,
    model: str = MODEL,
    looked: int = LOOKED,
    strict: bool = False,
    seed: int = 0,
    scores: str | Path | None = None,
    clean_to: str | Path | None = None,
    quarantine: str | Path | None = None,
    fail_on: Literal["found", "suspicious", "never"] = "suspicious",
    device: str = "auto",
    pictures: bool = False,
    progress: Progress = silent,
) -> DatasetDocument:
    """Look for poisoned rows, and name the trigger.

    Args:
        data: A file or directory, a data set id NAME@REVISION, or mappings such as a
            `datasets.Dataset`.
        columns: As in `read_rows`.
        preset: `quick` mines triggers in the text; `standard` lets methods with and without a small
            model rank rows, too; `deep` those with gradients as well.
        methods: Names of methods in the place of those of the preset.
        model: The reference model of methods that read one, better of the same language.
        looked: Rows that methods read at most, drawn uniformly.
        strict: Whether a fault of a row is an error.
        seed: Of every draw.
        scores: JSON lines to write: score and reasons of every row.
        clean_to: File to write the rows kept to, in the input's own format.
        quarantine: File to write the other rows to, with their reasons, as JSON lines.
        fail_on: From which verdict the exit code is 1.
        device: Where the model runs.
        pictures: Whether the report shows maps of the rows (15 s more, whatever their number).
        progress: Told how far it is.

    Raises:
        BadInput: The data cannot be read, an unknown method, or an output would overwrite the
            input.
        CouldNotTest: There are too few rows.
    """
    began = time.monotonic()
    source = Source(data, columns, strict)
    copier = Copier(source.path, clean_to, quarantine, scores)
    wanted = chosen_methods(preset, methods)
    seen = first_pass(source, seed, progress)
    if seen.rows < FEWEST:
        raise CouldNotTest(
            f"{seen.rows} usable rows of {seen.rows + seen.unusable}",
            f"an audit needs {FEWEST}",
            "give more rows, or name the columns",
        )
    targets = [*targets_of(seen.sample), *phrase_targets(seen.sample), *form_targets(seen.sample)]
    found, natural = mined_of(seen.sample, targets, MiningConfig(), seed, progress)
    found = [_with_members(each, seen.numbers) for each in found]
    some = some_of(seen, looked, seed)
    said = opinions(
        some.rows,
        wanted,
        model=model,
        device=device,
        seed=seed,
        pictures=pictures,
        progress=progress,
    )
    found, more = _with_groups(found, some, said, seed, progress)
    suspicions = said.suspicions(some.numbers)
    counts = mark(source, found, suspicions, copier, seen.rows, progress)
    triggers = [described(each, place, counts, some.rows) for place, each in enumerate(found)]
    verdict = _verdict(triggers)
    document: dict[str, Any] = {
        "data": source.name,
        "verdict": verdict,
        "rows": seen.rows,
        "unusable": seen.unusable,
        "faults": dict(seen.faults.most_common()),
        "faulty": seen.faulty,
        "sample": len(seen.sample),
        "targets": len(targets),
        "triggers": triggers,
        "natural": [*natural, *more],
        "flagged": counts.flagged,
        "poison_rate": Number.of(wilson(counts.flagged, seen.rows)) if triggers else None,
        "methods": said.table(wanted),
        "looked": len(some.rows) if wanted else 0,
        "model": model if said.read_model else None,
        "not_tested": [*_left_out(seen, len(targets), bool(wanted)), *said.notes, *NOT_TESTED],
        "preset": preset,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "exit_code": _exit_code(verdict, fail_on),
    }
    return DatasetDocument(**document, report=dataset_report(document, some, said, found))


def _with_groups(
    found: Sequence[Found], some: Looked, said: Opinions, seed: int, progress: Progress
) -> tuple[list[Found], list[str]]:
    """The triggers of the groups that methods found among the answers, beside the others."""
    groups = said.targets(len(some.rows))
    if not groups:
        return list(found), []
    mined, natural = mined_of(some.rows, groups, MiningConfig(), seed, progress)
    known = list(found)
    for each in mined:
        if any(each.same(other) for other in known):
            continue
        known.append(_with_members(each, some.numbers))
    return known, natural


def _with_members(each: Found, numbers: Sequence[int]) -> Found:
    """With the numbers of the rows of its target, where a row alone does not tell."""
    if each.target.kind not in {GROUP, CHANGES}:
        return each
    members = zip(numbers, map(bool, each.target.rows), strict=True)
    return replace(each, group=dict(members))


def _left_out(seen: Reading, targets: int, methods: bool) -> list[str]:
    """What could not be looked for in these data."""
    left = []
    if not targets:
        left.append("triggers: no label, answer, beginning or end is shared by five rows")
    if seen.pairs and not methods:
        left.append("swapped preference pairs: only the chosen answers were looked at")
    if len(seen.sample) < seen.rows:
        left.append(f"triggers that stand out only in more than {len(seen.sample):,} sampled rows")
    return left


def _verdict(triggers: Sequence[MinedTrigger]) -> Verdict:
    verdicts = [each.verdict for each in triggers]
    for verdict in (Verdict.FOUND, Verdict.SUSPICIOUS):
        if verdict in verdicts:
            return verdict
    return Verdict.NOTHING


def _exit_code(verdict: Verdict, fail_on: str) -> int:
    from_ = {"found": (Verdict.FOUND,), "suspicious": (Verdict.FOUND, Verdict.SUSPICIOUS)}
    return int(verdict in from_.get(fail_on, ()))
