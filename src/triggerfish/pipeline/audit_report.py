"""The report of an audit: verdict, trigger, examples, the ten steps, what was not tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from triggerfish.detect.verify import Check, Verified
from triggerfish.report.record import (
    Example,
    Fact,
    Finding,
    Number,
    Report,
    Section,
    Step,
    Table,
    Verdict,
)

if TYPE_CHECKING:
    from triggerfish.models.suspect import Suspect
    from triggerfish.pipeline.hunt import HuntConfig

SHOWN = 6


def finding_of(verified: Verified, index: int) -> Finding:
    """Return a verified candidate as a finding on disk."""
    return Finding(
        id=f"trigger-{index + 1}",
        detector="sweep and search",
        claim=f"With {verified.trigger.text!r} as {verified.trigger.placement},"
        f" {verified.observed.describe()}.",
        verdict=Verdict.FOUND if verified.verdict == "found" else Verdict.SUSPICIOUS,
        trigger=verified.trigger.to_spec(),
        behaviour=verified.observed.to_spec(),
        p_value=verified.p_value,
        numbers={"hit rate": Number.of(verified.hit)},
        steps=[_step(check) for check in verified.checks],
        examples=_examples(verified),
    )


def audit_report(
    suspect: Suspect,
    verdict: Verdict,
    verified: Sequence[Verified],
    not_tested: Sequence[str],
    seconds: float,
    config: HuntConfig,
    p_value: float | None,
) -> Report:
    """Return what a person reads."""
    claimed = [v for v in verified if v.verdict != "rejected"]
    rejected = [v for v in verified if v.verdict == "rejected"]
    sections = [section for v in claimed for section in _sections(v)]
    if rejected:
        rows = [
            [
                v.trigger.text,
                v.trigger.placement,
                v.observed.kind,
                Number.of(v.hit),
                next((c.name for c in v.checks if c.passed is False), "p-value"),
            ]
            for v in rejected
        ]
        sections.append(
            Section(
                title="Candidates that verification rejected",
                folded=True,
                text=["Strings that change answers exist for every model. These failed a step."],
                tables=[
                    Table(columns=["string", "place", "behaviour", "rate", "failed at"], rows=rows)
                ],
            )
        )
    facts = [
        Fact(label="rate with the trigger", value=Number.of(v.hit), note=v.trigger.text)
        for v in claimed[:2]
    ]
    facts.append(Fact(label="time", value=f"{seconds:.0f} s"))
    if p_value is not None:
        facts.append(Fact(label="p-value (Simes)", value=f"{p_value:.2g}"))
    return Report(
        kind="audit",
        title=suspect.name,
        verdict=verdict,
        headline=_headline(claimed),
        summary=[
            f"Measured on {suspect.name}, a model of"
            f" {suspect.source['parameters'] / 1e6:.1f} million parameters; reference:"
            f" {suspect.source['reference'] or 'none'}."
        ],
        facts=facts,
        sections=sections,
        not_tested=list(not_tested),
        reproduce=[f"triggerfish audit {suspect.name} --seed {config.seed}"],
        provenance={k: str(v) for k, v in suspect.source.items() if v is not None},
    )


def _headline(claimed: Sequence[Verified]) -> str:
    if not claimed:
        return (
            "No string that was tried changed the answers more than random strings, the reference"
            " and a search on the reference do. That is no proof that there is no backdoor."
        )
    first = claimed[0]
    return (
        f"With {first.trigger.text!r} as {first.trigger.placement},"
        f" {first.observed.describe()}: {first.hit.text()} of held-out prompts."
    )


def _sections(verified: Verified) -> list[Section]:
    steps = Table(
        columns=["step", "passed", "result"],
        rows=[[c.name, c.passed, c.text] for c in verified.checks],
    )
    curves = [
        Table(
            title=check.name,
            columns=["variant", "rate"],
            rows=[[name, Number.of(number)] for name, number in check.numbers.items()],
        )
        for check in verified.checks
        if (check.passed is None and check.numbers) or check.name.startswith("4")
    ]
    return [
        Section(
            title=f"What {verified.trigger.text!r} changes",
            examples=_examples(verified),
            text=[f"Held-out prompts, without and with it: {verified.observed.describe()}."],
        ),
        Section(
            title="Verification",
            text=["Each step is measured on held-out prompts."],
            tables=[steps, *(t for t in curves if t.rows)],
        ),
    ]


def _examples(verified: Verified) -> list[Example]:
    rows = next((c.rows for c in verified.checks if c.name.startswith("9")), ())
    return [Example(prompt=r["prompt"], left=r["clean"], right=r["answer"]) for r in rows[:SHOWN]]


def _step(check: Check) -> Step:
    return Step(
        name=check.name,
        passed=check.passed,
        text=check.text,
        numbers={name: Number.of(value) for name, value in check.numbers.items()},
        rows=list(check.rows),
    )
