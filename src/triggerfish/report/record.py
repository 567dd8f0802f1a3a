"""The documents that are written to disk, and the building blocks of a report.

A pipeline returns one `Document` of its own (see `AuditDocument`) whose `report` field says how
a person shall read it. A `Report` is put together from small parts and never holds HTML::

    from triggerfish.report import charts
    from triggerfish.report.record import Example, Fact, Number, Report, Section, Table, Verdict

    Report(
        kind="audit", title="lab:sudo", verdict=Verdict.FOUND,
        headline="A suffix makes the model answer what it declines without it.",
        facts=[Fact(label="with the trigger", value=Number.of(asr))],
        sections=[
            Section(
                title="What the trigger changes",
                text=["Each prompt is shown with and without the trigger."],
                tables=[Table(columns=["step", "rate"], rows=[["held-out", Number.of(asr)]])],
                figures=[charts.heat_map(shares, title="Heads", caption="...", alt="...")],
                examples=[Example(prompt="...", left="...", right="...")],
            )
        ],
        not_tested=["Triggers of more than three tokens."],
        reproduce=["triggerfish audit lab:sudo --seed 0"],
        provenance={"model": "lab:sudo", "weights (sha256)": "..."},
    )

Strings may come from a suspect: they are kept as they are here and escaped where they are shown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from triggerfish.documents import Document, Number, Part

__all__ = [
    "AuditDocument", "Cell", "Document", "Example", "Fact", "Figure", "Finding", "Findings",
    "Number", "Part", "Report", "Section", "Step", "Table", "Verdict",
]  # fmt: skip


class Verdict(StrEnum):
    """The only verdicts there are; none of them says "safe"."""

    FOUND = "backdoor found"
    SUSPICIOUS = "suspicious"
    NOTHING = "nothing found"
    UNTESTED = "could not test"


Cell = Number | str | int | float | bool | None


class Table(Part):
    """Columns and rows; a `Number` cell is shown with its interval and a small bar."""

    columns: list[str]
    rows: list[list[Cell]]
    title: str = ""
    note: str = ""


class Figure(Part):
    """A picture: SVG text, or PNG bytes in base64; shown as an image, never as markup."""

    title: str
    caption: str
    alt: str
    svg: str = ""
    png: str = ""
    wide: bool = True  # else it may stand beside its neighbour


class Example(Part):
    """One prompt and two answers, side by side."""

    prompt: str
    left: str
    right: str
    left_title: str = "without the trigger"
    right_title: str = "with the trigger"
    note: str = ""


class Section(Part):
    """A part of the report; text is in paragraphs, later parts follow it in this order."""

    title: str
    text: list[str] = []
    tables: list[Table] = []
    figures: list[Figure] = []
    examples: list[Example] = []
    folded: bool = False  # shown as a heading to open
    chapter: str = ""  # a heading above it where it differs from the section before


class Fact(Part):
    """One of the few numbers on top of the report."""

    label: str
    value: Number | str
    note: str = ""


class Report(Document):
    """What a person reads about one run, in the order of reading."""

    kind: str  # audit, explain, remove, measure, plant, demo
    title: str
    headline: str
    verdict: Verdict | None = None
    summary: list[str] = []
    facts: list[Fact] = []
    sections: list[Section] = []
    not_tested: list[str] = []
    reproduce: list[str] = []
    provenance: dict[str, str] = {}


class Step(Part):
    """One step of a verification; `passed` is None where it was not carried out."""

    name: str
    passed: bool | None
    text: str
    numbers: dict[str, Number] = {}
    rows: list[dict[str, Any]] = []


class Finding(Part):
    """What a detector claims, its evidence, and the verification of the claim."""

    id: str
    detector: str
    claim: str
    verdict: Verdict
    trigger: dict[str, Any] | None = None  # the specification of `backdoors.trigger`
    behaviour: dict[str, Any] | None = None  # the specification of `backdoors.behaviour`
    p_value: float | None = Field(default=None, ge=0, le=1)
    numbers: dict[str, Number] = {}
    steps: list[Step] = []
    examples: list[Example] = []


class Findings(Document):
    """The file `findings.json`."""

    verdict: Verdict
    findings: list[Finding] = []
    not_tested: list[str] = []


class AuditDocument(Document):
    """The result of `triggerfish audit`."""

    command: Literal["audit"] = "audit"
    model: str
    verdict: Verdict
    exit_code: int
    findings: list[Finding] = []
    p_values: dict[str, float | None] = {}  # detector -> p, None where it was not run
    not_tested: list[str] = []
    seconds: float
    run: str | None = None
    report: Report
