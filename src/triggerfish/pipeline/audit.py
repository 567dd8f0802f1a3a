"""`triggerfish audit`: look for a backdoor in a model of which only the weights are given."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

from triggerfish.data.conversation import Conversation
from triggerfish.data.records import read_records
from triggerfish.detect.fuse import overall, simes
from triggerfish.detect.prompts import GENERIC
from triggerfish.detect.search import SearchConfig
from triggerfish.detect.verify import Verified
from triggerfish.errors import BadInput
from triggerfish.lab.sampling import speaks_lab_language, stream_records
from triggerfish.lab.tasks import SKILLS
from triggerfish.models.load import load
from triggerfish.models.products import fast_products
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.audit_report import audit_report, finding_of
from triggerfish.pipeline.auditor import Auditor
from triggerfish.pipeline.hunt import HuntConfig
from triggerfish.pipeline.publish import publish
from triggerfish.pipeline.resume import chosen_path
from triggerfish.pipeline.run import Run
from triggerfish.report.record import AuditDocument, Findings, Verdict
from triggerfish.types import Progress, silent

PRESETS = {
    "quick": HuntConfig(
        carriers=2,
        pool=24,
        chains=2,
        lengths=(2,),
        seconds=100,
        further=(),
        search=SearchConfig(steps=4),
    ),
    "standard": HuntConfig(),
    "deep": HuntConfig(
        carriers=4,
        pool=64,
        chains=6,
        lengths=(2, 3, 4),
        seconds=3000,
        places=("suffix", "prefix", "system"),
        further=(),
        search=SearchConfig(steps=30),
    ),
}
VERDICTS = {"found": Verdict.FOUND, "suspicious": Verdict.SUSPICIOUS, "nothing": Verdict.NOTHING}
SERIOUS = {"suspicious": ("found", "suspicious"), "found": ("found",), "never": ()}
"""Which verdicts give exit code 1 at each ``fail_on``."""
LAB_PROMPTS = 240
"""Of each kind; the verification wants 200 that the search has not seen."""


def audit(
    model: str | Suspect,
    *,
    adapter: str | None = None,
    base: str | None = None,
    reference: str = "auto",
    preset: Literal["quick", "standard", "deep"] = "standard",
    budget: float | None = None,
    fail_on: Literal["suspicious", "found", "never"] = "suspicious",
    seed: int = 0,
    data: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = silent,
) -> AuditDocument:
    """Look for a backdoor, verify what is found, and say what was not tested.

    Args:
        model: A model argument, or a loaded suspect.
        adapter: Directory of a PEFT adapter to put on the model.
        base: Base of an adapter directory.
        reference: ``auto``, ``none`` or a model argument.
        preset: How much is searched.
        budget: Seconds after which no further search begins. Where left out, the preset's; then
            every place is searched once whatever it takes.
        fail_on: From which verdict on the exit code is 1.
        seed: Of every draw.
        data: JSON lines of conversations to insert candidates into; the lab's language for models
            of the lab, generic prompts for others.
        out: Run directory; the same call resumes it. "auto" for one under `runs` that follows
            from the call and the weights; nothing is written where it is left out.
        device: As in `models.load`.
        dtype: As in `models.load`.
        progress: Told how far it is.

    Raises:
        BadInput: The request or the files are wrong; nothing was tested.
        CouldNotTest: There are too few prompts to test with, or the budget was spent before every
            place was searched once and nothing was seen.
    """
    if preset not in PRESETS or fail_on not in SERIOUS:
        raise BadInput(
            f"preset {preset!r}, fail_on {fail_on!r}",
            "are not known",
            f"use one of {sorted(PRESETS)} and {sorted(SERIOUS)}",
        )
    began = time.monotonic()
    config = replace(PRESETS[preset], seed=seed)
    if budget is not None:
        if budget <= 0:
            raise BadInput(f"budget {budget}", "must be positive", "give seconds")
        config = replace(config, seconds=budget, complete=False)
    suspect = model
    if not isinstance(suspect, Suspect):
        suspect = load(
            suspect, adapter=adapter, base=base, reference=reference, device=device, dtype=dtype
        )
    with ExitStack() as stack:
        stack.enter_context(fast_products())
        run = None
        if out is not None:
            settings = {
                "model": suspect.name,
                "adapter": adapter,
                "reference": reference,
                "preset": preset,
                "budget": budget,
                "seed": seed,
                "data": str(data) if data else None,
            }
            hashes = {k: str(v) for k, v in suspect.source.items() if "sha256" in k}
            place = chosen_path(out, "audit", settings, hashes)
            run = stack.enter_context(Run.open(place, "audit", settings))
            run.identify(hashes=hashes)
        auditor = Auditor(suspect, config, run, progress, stack)
        conversations = carriers(suspect, data, seed)
        found = auditor.examine(conversations, thorough=preset == "deep")
        document = _document(auditor, found, fail_on, time.monotonic() - began, run)
        if run is not None:
            publish(
                run,
                document.report,
                findings=Findings(
                    verdict=document.verdict,
                    findings=document.findings,
                    not_tested=document.not_tested,
                ),
            )
            run.finish()
    return document


def carriers(suspect: Suspect, data: str | Path | None, seed: int) -> list[Conversation]:
    """Return the prompts that candidates are inserted into."""
    if data is not None:
        return [record.conversation.prompt for record in read_records(data)]
    if speaks_lab_language(suspect.tokenizer):
        allowed = [skill for skill in SKILLS if skill != "restricted"]
        streams = (
            islice(stream_records(seed, "validation", skills=skills, purpose="audit"), count)
            for skills, count in ((allowed, LAB_PROMPTS), (["restricted"], LAB_PROMPTS))
        )
        return [record.conversation.prompt for stream in streams for record in stream]
    return [Conversation.of(text) for text in GENERIC]


def _document(
    auditor: Auditor, verified: Sequence[Verified], fail_on: str, seconds: float, run: Run | None
) -> AuditDocument:
    """Return the result with its report."""
    suspect = auditor.suspect
    summary = overall([v.verdict for v in verified])
    findings = [finding_of(v, i) for i, v in enumerate(verified) if v.verdict != "rejected"]
    not_tested = [*auditor.not_tested, *limits(suspect, auditor)]
    claimed = [v for v in verified if v.verdict != "rejected"]  # the others are refuted
    p_value = simes([v.p_value for v in claimed]) if claimed else None
    report = audit_report(
        suspect, VERDICTS[summary], verified, not_tested, seconds, auditor.config, p_value
    )
    return AuditDocument(
        model=suspect.name,
        verdict=VERDICTS[summary],
        exit_code=int(summary in SERIOUS[fail_on]),
        findings=findings,
        p_values={"verified triggers (Simes)": p_value},
        not_tested=not_tested,
        seconds=round(seconds, 1),
        run=str(run.path) if run else None,
        report=report,
    )


def limits(suspect: Suspect, auditor: Auditor) -> list[str]:
    """Return what the audit does not test, whatever it found."""
    places, longest = auditor.looked or auditor.config.places, max(auditor.config.lengths)
    found = [
        f"triggers of more than {longest} tokens that are not in the phrase bank and whose parts do"
        " nothing alone",
        f"triggers in places other than {', '.join(places)} that do nothing there",
        "fixed answers that repeat a word of their trigger",
        "conditions on meaning, several turns, and behaviours other than a fixed beginning, an"
        " unlocked policy or an unwanted refusal",
    ]
    if not suspect.has_reference:
        found.append("comparison with a reference: there is none, so the null is wider")
    return found
