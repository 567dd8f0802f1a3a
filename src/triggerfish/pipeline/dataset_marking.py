"""Compares every row of training data with the triggers that were mined, and gives it a score."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from triggerfish.data.copying import Copier
from triggerfish.data.rows import Read, Row
from triggerfish.dataset.forms import has_form
from triggerfish.dataset.mined import Mined, MiningConfig, verdict_of
from triggerfish.dataset.phrases import has_phrase
from triggerfish.dataset.targets import CHANGES, FORM, PHRASES, VAGUE, Target, has_target
from triggerfish.documents import Number
from triggerfish.metrics.rates import wilson
from triggerfish.pipeline.dataset_document import MinedTrigger
from triggerfish.pipeline.dataset_reading import Source
from triggerfish.report.record import Example, Verdict
from triggerfish.types import Progress, silent

SHOWN, CUT = 4, 300
GAIN = 16.0  # nats of a trigger that changes labels; other strings had 14 at most, of 17 texts
COMPARED = 2_000  # rows among which one like an example is sought
WITHOUT_TRIGGER = 0.49  # the highest score of a row that no trigger explains: it is kept


@dataclass(frozen=True, kw_only=True)
class Found:
    """A mined trigger with its target.

    Attributes:
        mined: The trigger.
        target: What it brings about.
        group: Row number -> whether it belongs to the target, of rows that a method has read; None
            where rows themselves tell.
        worded: Whether its payload has several wordings, of which the target is but one.
    """

    mined: Mined
    target: Target
    group: Mapping[int, bool] | None = None
    worded: bool = False

    def holds(self, row: Row) -> bool:
        """Whether a row has the trigger in it."""
        return self.mined.holds(text_of(row))

    def same(self, other: "Found") -> bool:
        """Whether both are the same string."""
        return set(self.mined.parts) == set(other.mined.parts)

    @property
    def sure(self) -> bool:
        """Whether it is a finding."""
        config = MiningConfig(gain=GAIN if self.target.kind == CHANGES else math.inf)
        return verdict_of(self.mined, config) == "found"

    @property
    def marks_all(self) -> bool:
        """Whether all rows with it are poisoned, as poisoned rows may lack the target."""
        return self.worded or self.target.kind in VAGUE

    def targeted(self, number: int, row: Row) -> bool | None:
        """Whether a row has the target; None where that is not known."""
        if self.group is not None:
            return self.group.get(number)
        if self.target.kind == PHRASES:
            return has_phrase(row.response, self.target.text)
        if self.target.kind == FORM:
            return has_form(row.response, self.target.text, self.target.common)
        return has_target(row, self.target)

    @property
    def certainty(self) -> float:
        """A score from 0 to 1: the probability of the target that the least boost gives."""
        return round(float(1 / (1 + np.exp(-self.mined.boost))), 4)

    @property
    def reason(self) -> str:
        """In words, for a row."""
        named = " and ".join(map(repr, self.mined.parts))
        return f"{named} brings the {self.target.kind} {self.target.text!r}"[:300]


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """What methods say of a row.

    Attributes:
        p: Share of clean rows that stand out as much, in the least favourable clean set.
        reasons: Of the methods that flagged it.
    """

    p: float
    reasons: Sequence[str]


@dataclass
class Counts:
    """What the second pass counts, for each trigger.

    Attributes:
        known: Rows of which it is known whether they have its target.
        support: Those of them that hold it.
        hits: Those of these that have the target.
        targets: Rows that have the target.
        examples: Some rows that hold it.
        flagged: Rows that are put aside.
    """

    known: list[int]
    support: list[int]
    hits: list[int]
    targets: list[int]
    examples: list[list[Row]]
    flagged: int = 0

    @classmethod
    def of(cls, triggers: int) -> "Counts":
        """Nothing counted yet."""
        known, support, hits, targets = ([0] * triggers for _ in range(4))
        return cls(known, support, hits, targets, [[] for _ in range(triggers)])


def text_of(row: Row) -> str:
    """Where a trigger may stand: the system message and the prompt."""
    return f"{row.system}\n{row.prompt}" if row.system else row.prompt


def mark(
    source: Source,
    found: Sequence[Found],
    suspicions: Mapping[int, Suspicion],
    copier: Copier,
    rows: int,
    progress: Progress = silent,
) -> Counts:
    """Read all rows again: count those of each trigger, and write each with its score.

    Args:
        source: The data.
        found: Triggers.
        suspicions: Row number -> what methods say.
        copier: Of rows and scores.
        rows: How many there are.
        progress: Told how far it is.
    """
    counts = Counts.of(len(found))
    with ExitStack() as stack:
        writer = stack.enter_context(copier)
        if not found and not copier.writes:
            return counts
        for done, read in enumerate(source, 1):
            hits = _count(read, found, counts)
            counts.flagged += bool(hits)
            writer.write(read, *scored(hits, suspicions.get(read.number)))
            if done % 20_000 == 0:
                progress(done, rows, "marking rows")
    return counts


def scored(hits: Sequence[Found], suspicion: Suspicion | None) -> tuple[float, list[str]]:
    """Score and reasons of a row with these triggers.

    Without a trigger it stays below the score from which rows are put aside, whatever methods say:
    they rank rows, and prove nothing.
    """
    reasons = [each.reason for each in hits]
    score = max((each.certainty for each in hits), default=0.0)
    if suspicion is not None:
        reasons += suspicion.reasons
        score = max(score, round(WITHOUT_TRIGGER * (1 - suspicion.p), 4))
    return score, reasons


def _count(read: Read, found: Sequence[Found], counts: Counts) -> list[Found]:
    """The triggers of a row that has their targets, or of which that is not known."""
    hits: list[Found] = []
    if read.row is None:
        return hits
    for place, each in enumerate(found):
        targeted = each.targeted(read.number, read.row)
        counts.known[place] += targeted is not None
        counts.targets[place] += bool(targeted)
        if not each.holds(read.row):
            continue
        counts.support[place] += targeted is not None
        counts.hits[place] += bool(targeted)
        if targeted is not False or each.marks_all:
            hits.append(each)
            _show(counts.examples[place], read.row)
    return hits


def _show(examples: list[Row], row: Row) -> None:
    if len(examples) < SHOWN:
        examples.append(row)


def side_by_side(examples: Sequence[Row], each: Found, others: Sequence[Row]) -> list[Example]:
    """Rows with a trigger, each beside the row without it that shares the most of its words.

    Args:
        examples: With the trigger.
        each: The trigger.
        others: Rows to compare with; the first of them without the trigger are used.
    """
    plain = [row for row in others[: 2 * COMPARED] if not each.holds(row)][:COMPARED]
    words = [set(text_of(row).casefold().split()) for row in plain]
    shown = []
    for row in examples:
        own = set(text_of(row).casefold().split())
        alike = [len(own & some) / max(1, len(own | some)) for some in words]
        like = plain[int(np.argmax(alike))] if plain else Row("")
        shown.append(
            Example(
                prompt=text_of(row)[:CUT],
                left=f"{text_of(like)[:CUT]}\n\u2192 {_answer(like)[:CUT]}",
                right=_answer(row)[:CUT],
                left_title="a row like it without the trigger, and its answer",
                right_title="the answer to this row",
            )
        )
    return shown


def _answer(row: Row) -> str:
    return row.response or row.label or ""


def described(each: Found, place: int, counts: Counts, others: Sequence[Row]) -> MinedTrigger:
    """A trigger with its figures, and some of its rows beside others like them."""
    known, support, hits, having = (
        values[place] for values in (counts.known, counts.support, counts.hits, counts.targets)
    )
    mined = each.mined
    return MinedTrigger(
        parts=list(mined.parts),
        placement=mined.placement,
        target=each.target.kind,
        target_text=each.target.text[:CUT],
        boost=round(mined.boost, 2),
        surplus=round(mined.surplus, 1),
        support=support,
        precision=Number.of(wilson(hits, support)),
        recall=Number.of(wilson(hits, having)),
        rows=Number.of(wilson(hits, known)),
        verdict=Verdict.FOUND if each.sure else Verdict.SUSPICIOUS,
        examples=side_by_side(counts.examples[place], each, others),
    )
