"""The documents that are written to disk, and the building blocks of a report.

A pipeline returns one `Document` of its own (see `AuditDocument`) whose `report` field says how
a person shall read it. A `Report` is put together from small parts and never holds HTML::

    from triggerfish.report import charts
    from triggerfish.report.record import DataTable, Example, Fact, Number, Report, Scatter
    from triggerfish.report.record import Section, Table, Verdict

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
                scatters=[Scatter(..., categories=["not flagged", "flagged"], maps=[...])],
                examples=[Example(prompt="...", left="...", right="...")],
                data=[DataTable(title="Rows", columns=["row", "score"], rows=[[1, 0.4]])],
            )
        ],
        not_tested=["Triggers of more than three tokens."],
        reproduce=["triggerfish audit lab:sudo --seed 0"],
        provenance={"model": "lab:sudo", "weights (sha256)": "..."},
    )

Strings may come from a suspect: they are kept as they are here and escaped where they are shown.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from triggerfish.documents import Document, Number, Part

__all__ = [
    "AuditDocument", "Cell", "DataTable", "Document", "Example", "Fact", "Figure", "Finding",
    "Findings", "Number", "Part", "Plain", "PointMap", "Report", "Scatter", "Section", "Step",
    "Table", "Verdict",
]  # fmt: skip


class Verdict(StrEnum):
    """The only verdicts there are; none of them says "safe"."""

    FOUND = "backdoor found"
    SUSPICIOUS = "suspicious"
    NOTHING = "nothing found"
    UNTESTED = "could not test"


Plain = str | int | float | bool | None
Cell = Number | Plain


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


class DataTable(Part):
    """Up to some thousand rows: to be sorted, searched, chosen from, and read page by page.

    Attributes:
        columns: Their names, each once; the first names a row.
        rows: [N][columns]; an empty cell is None.
        note: What stands here and what does not.
        choice: A column of few values, any of which may be chosen; "" for none.
        folded: Columns that are shown in an opened row, and while rows are sorted by them.
        page: Rows on a page, and all that is seen without a script.
        left_out: Rows at the end that did not fit into the page; set by `report.html`.
    """

    title: str
    columns: list[str] = Field(min_length=1)
    rows: list[list[Plain]]
    note: str = ""
    choice: str = ""
    folded: list[str] = []
    page: int = Field(default=50, ge=1)
    left_out: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        named = [*self.folded, self.choice] if self.choice else self.folded
        unknown = [name for name in named if name not in self.columns]
        if unknown or self.columns[0] in self.folded:
            raise ValueError(f"{unknown or self.columns[:1]} cannot be chosen from or folded")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"the columns {self.columns} are not all different")
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"every row has {len(self.columns)} cells, one for each column")
        return self


def _place(point: object) -> object:
    if isinstance(point, list | tuple) and not all(
        isinstance(each, int | float) and math.isfinite(each) for each in point
    ):
        return None
    return point


Place = Annotated[tuple[float, float] | None, BeforeValidator(_place)]


class PointMap(Part):
    """Where each point stands in one picture; None where it has no finite place."""

    name: str
    points: list[Place]


class Scatter(Part):
    """Points with a category and a text each, and one or more maps of them to choose from.

    Attributes:
        categories: Their names; a later one is drawn over an earlier one. There are four marks.
        category: [N] the category of each point, by number.
        texts: [N] what is shown of a point that is pointed at.
    """

    title: str
    caption: str
    alt: str
    categories: list[str] = Field(min_length=1, max_length=4)
    category: list[int] = Field(min_length=1)
    texts: list[str]
    maps: list[PointMap] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        sizes = {len(self.category), len(self.texts), *(len(map.points) for map in self.maps)}
        if len(sizes) > 1:
            raise ValueError(f"categories, texts and places of one point each, not {sizes}")
        if not all(0 <= each < len(self.categories) for each in self.category):
            raise ValueError(f"a category is a number below {len(self.categories)}")
        return self


class Section(Part):
    """A part of the report; text is in paragraphs, later parts follow it in this order."""

    title: str
    text: list[str] = []
    tables: list[Table] = []
    figures: list[Figure] = []
    scatters: list[Scatter] = []
    examples: list[Example] = []
    data: list[DataTable] = []
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
    verdict_text: str = ""  # the verdict's own words, where they are about a model
    meaning: str = ""  # the same for what the verdict means
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
    behaviour: dict[str, Any] | None = None  # as read by `backdoors.behaviour_spec`
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
