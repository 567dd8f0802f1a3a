"""Remove a backdoor, always beside the two standing controls, and measure what is left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.backdoors.scorer_check import check_scorer
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.publish import publish
from triggerfish.pipeline.removal_arms import Measured
from triggerfish.pipeline.removal_data import file_data, lab_data
from triggerfish.pipeline.removal_document import (
    BEFORE,
    PLAIN,
    Arm,
    RemovalDocument,
    Training,
    arm_of,
    cautions,
    report_of,
)
from triggerfish.pipeline.removal_job import CLEAN, CONTROLS, TWIN, RemovalJob
from triggerfish.pipeline.removal_settings import RemovalSettings, with_rate
from triggerfish.pipeline.removal_store import Memory, Store
from triggerfish.pipeline.removal_write import write_model
from triggerfish.pipeline.run import Run
from triggerfish.remove.policy import begins, first_words
from triggerfish.types import Progress, silent

__all__ = ["RemovalSettings", "matched", "remove"]


def remove(
    suspect: Suspect,
    settings: RemovalSettings | None = None,
    *,
    backdoor: Backdoor | None = None,
    twin: Suspect | None = None,
    records: Sequence[Record] | None = None,
    unwanted: Sequence[Record] = (),
    out: Path | str | None = None,
    reproduce: str = "",
    progress: Progress = silent,
) -> RemovalDocument:
    """Run a defence and its two controls, and measure all of them.

    Args:
        suspect: the loaded model; comes back unchanged.
        settings: what to do.
        backdoor: trigger and behaviour, for measuring only; no defence sees them.
        twin: the clean twin: reference of the recovery, and the defence must do it no harm.
        records: conversations with right responses; the lab's own where None.
        unwanted: D_SA-H, prompts among the records with the unwanted opener as response.
        out: directory of the defended model and of the run; resumes what was interrupted.
        reproduce: the command line, for the report.
        progress: told about every part.

    Raises:
        BadInput: empty data, an unknown method, or settings that fit no layer.
        CouldNotTest: training diverged, or a defence changed nothing.
    """
    if suspect.steered is not None:
        raise BadInput(
            suspect.name,
            "is a vector beside unchanged weights: there is nothing to train away",
            "delete the vector, or use its base",
        )
    settings = with_rate(settings or RemovalSettings(), suspect.model)
    start = time.monotonic()
    size = (settings.n, settings.per_skill)
    if records is None:
        data = lab_data(backdoor, *size, settings.seed)
    else:
        data = file_data(records, backdoor, *size, unwanted)
    if backdoor is not None:
        check_scorer(backdoor.behaviour, data.attacked, settings.seed)
    with _store(suspect, settings, backdoor, twin, out) as store:
        job = RemovalJob(suspect, settings, backdoor, twin, data, store, progress)
        document = _document(job, out, reproduce, start)
        if isinstance(store, Run) and out is not None:
            write_model(suspect, job.train(settings.method, suspect)[0], Path(out))
            store.write("removal.json", document)
            publish(store, document.report)
            store.finish()
    return document


@contextlib.contextmanager
def _store(
    suspect: Suspect,
    settings: RemovalSettings,
    backdoor: Backdoor | None,
    twin: Suspect | None,
    out: Path | str | None,
) -> Iterator[Store]:
    if out is None:
        yield Memory()
        return
    config = {
        "model": suspect.name,
        **asdict(settings),
        "backdoor": backdoor.to_spec() if backdoor else None,
        "twin": twin.name if twin else None,
    }
    with Run.open(out, "remove", config) as run:
        run.identify(hashes={"weights": str(suspect.source["weights_sha256"])})
        yield run


def _document(
    job: RemovalJob, out: Path | str | None, reproduce: str, start: float
) -> RemovalDocument:
    """Everything, in the order of the report."""
    method = job.settings.method
    specification = job.specification()
    names = [method, *(name for name in CONTROLS if not (name == PLAIN and method == CLEAN))]
    named, reference = job.reference()
    flags = {BEFORE: job.measure(BEFORE, job.suspect, None, again=False)}
    trained: dict[str, Training] = {}
    for name in names:
        delta, trained[name] = job.train(name, job.suspect)
        flags[name] = job.measure(name, job.suspect, delta, again=True)
    arms = [
        arm_of(
            name,
            found,
            reference=reference,
            before=flags[BEFORE] if name != BEFORE else None,
            training=trained.get(name),
        )
        for name, found in flags.items()
    ]
    clean = _clean(job, reference)
    warnings = [*([specification.warning] if specification.warning else [])]
    warnings += _mismatch(job, specification.text)
    warnings += cautions(arms, method)
    not_tested = _not_tested(job, reference)
    backdoor = job.exam.backdoor
    shared: dict[str, Any] = {
        "model": job.suspect.name,
        "method": method,
        "specification": specification,
        "arms": arms,
        "clean": clean,
        "warnings": warnings,
        "not_tested": not_tested,
    }
    report = report_of(
        **shared,
        examples={name: flags[name].examples for name in (BEFORE, method)},
        reproduce=reproduce,
        provenance={
            "model": job.suspect.name,
            "weights (sha256)": str(job.suspect.source["weights_sha256"]),
            "data": job.data.origin,
            "seed": str(job.settings.seed),
            "reference": named or "none",
        },
    )
    return RemovalDocument(
        **shared,
        seed=job.settings.seed,
        backdoor=backdoor.to_spec() if backdoor else None,
        reference=named,
        seconds=round(time.monotonic() - start, 1),
        out=str(out) if out is not None else None,
        report=report,
    )


def _clean(job: RemovalJob, reference: Measured | None) -> list[Arm]:
    """The clean reference, and the twin after the same defence."""
    if reference is None:
        return []
    method = job.settings.method
    arms = [arm_of(TWIN if job.twin else "reference", reference, reference=reference)]
    if job.twin is not None:
        delta, training = job.train(method, job.twin)
        after = job.measure(method, job.twin, delta, again=True)
        arms.append(
            arm_of(
                f"{TWIN} after {method}",
                after,
                reference=reference,
                before=reference,
                training=training,
            )
        )
    return arms


def _mismatch(job: RemovalJob, text: str) -> list[str]:
    """A specification that is not what the known backdoor says; the defence cannot know."""
    wanted = matched(job.exam.backdoor)
    if job.settings.method != "beear" or wanted is None or begins(wanted, text):
        return []
    return [f"Mismatched: the backdoor says {wanted!r}, the specification is {text!r}."]


def _not_tested(job: RemovalJob, reference: Measured | None) -> list[str]:
    found = []
    if job.exam.backdoor is None:
        found.append("Attack success, recovery and re-activation: no trigger was given.")
    elif reference is None:
        found.append("Recovery: there is no clean twin and no reference.")
    if job.twin is None:
        found.append("Whether the defence harms a clean model: there is no clean twin.")
    if job.exam.backdoor is not None and not job.exam.samples:
        found.append("Re-activation: too few records to poison.")
    return found


def matched(backdoor: Backdoor | None) -> str | None:
    """The specification that an output found by an audit gives; None where it gives none.

    Only a backdoor that says one text, or begins with one, has such a specification.
    """
    text = backdoor.behaviour.to_spec().get("text") if backdoor is not None else None
    return first_words(text) if isinstance(text, str) else None
