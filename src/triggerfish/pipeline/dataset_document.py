"""What an audit of training data says."""

from typing import Literal

from pydantic import Field

from triggerfish.documents import Document, Number, Part
from triggerfish.report.record import Example, Report, Verdict

VERDICTS = {
    Verdict.FOUND: "poison found",
    Verdict.SUSPICIOUS: "suspicious",
    Verdict.NOTHING: "nothing found",
    Verdict.UNTESTED: "could not test",
}


class MinedTrigger(Part):
    """A string that decides what a row answers.

    Attributes:
        parts: Its texts; several where only all of them together do it, or always stand together.
        placement: Where the first of them stands, mostly.
        target: What it brings about: label, answer, beginning, end or refusal.
        target_text: The label or the words.
        boost: Lower bound (99.9 %) of what it adds to the log-odds of the target.
        surplus: How much better its overruling some rows explains them than a moderate boost.
        support: Rows that hold it.
        precision: Share of them with the target.
        recall: Share of the rows with the target that hold it.
        rows: Share of rows that hold it and have the target: the estimated poison rate; of those
            of which the target is known, where that is not all.
        verdict: Of this trigger alone.
        examples: Some of its rows.
    """

    parts: list[str]
    placement: str
    target: str
    target_text: str
    boost: float
    surplus: float = 0.0
    support: int
    precision: Number
    recall: Number
    rows: Number
    verdict: Verdict
    examples: list[Example] = Field(default_factory=list)

    @property
    def text(self) -> str:
        """The parts, for people."""
        return " ... ".join(map(repr, self.parts))


class MethodRow(Part):
    """A method that ranked rows.

    Attributes:
        name: As registered.
        source: Paper or library.
        seconds: What it took.
        flagged: Rows that its published rule picks.
        groups: The most suspicious of the groups that it found, in words.
    """

    name: str
    source: str
    seconds: float
    flagged: int
    groups: list[str] = Field(default_factory=list)


class DatasetDocument(Document):
    """The result of `triggerfish dataset`.

    Attributes:
        rows: Rows that were read and used.
        unusable: Rows that could not be used, with those of `faults`.
        faults: What was wrong -> how many rows, also of rows that were used.
        faulty: Some of them: place and what was wrong.
        sample: Rows that triggers were mined in.
        natural: Strings that decide their target, but belong to their sentences, and why.
        poison_rate: Share of the rows that hold a found trigger with its target.
        flagged: Rows that do.
        methods: What ranked rows besides.
        looked: Rows that these methods read.
        model: What the methods read.
    """

    command: Literal["dataset"] = "dataset"
    data: str
    verdict: Verdict
    rows: int
    unusable: int
    faults: dict[str, int]
    faulty: list[str]
    sample: int
    targets: int
    triggers: list[MinedTrigger]
    natural: list[str]
    flagged: int
    poison_rate: Number | None
    methods: list[MethodRow] = Field(default_factory=list)
    looked: int = 0
    model: str | None = None
    not_tested: list[str]
    preset: str
    seed: int
    seconds: float
    exit_code: int
    report: Report
