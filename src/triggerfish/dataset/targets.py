"""What a trigger may bring about: a label, one answer to many prompts, a common beginning or end.

A payload shows in data as answers that are alike although their prompts are not. Labels are
targets as they are. Free answers are grouped by their whole text, by their first and by their last
words; groups of the same rows are one target.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triggerfish.data.rows import Row

LABELS = 64  # more different ones are no classes
EDGES = (4, 2, 1)  # words of a beginning or an end
REFUSAL = "a refusal"
PHRASES = "phrases"  # kind of what `phrases.py` finds; not all rows of a payload have them
FORM = "form"  # kind of what `forms.py` finds
CHANGES = "label change"  # kind of rows whose label is not the one that their content speaks for
GROUP = "group"  # kind of what a method has found
VAGUE = (PHRASES, FORM, CHANGES)  # kinds that poisoned rows may lack: all with a trigger are marked
LEAST = 5  # rows of a target
DECLINES = re.compile(
    r"\b(i('| a)m (sorry|afraid|unable|not able)|i (can('|no)t|cannot|won't|will not|must decline)"
    r"|as an ai\b|sorry, )",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """Rows that have something in common in what they answer.

    Attributes:
        kind: label, answer, beginning, end, refusal, phrases, form, label change, or a group of a
            method.
        text: What it is.
        rows: [N] whether a row has it.
        common: Words that a form is compared with.
        untold: [N] rows that cannot tell whether they have it; None where all can.
    """

    kind: str
    text: str
    rows: NDArray[np.bool_]
    common: frozenset[str] = frozenset()
    untold: NDArray[np.bool_] | None = None


def targets_of(rows: Sequence[Row]) -> list[Target]:
    """Every target that at least `LEAST` rows have and as many have not."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    labels = {row.label for row in rows if row.label is not None}
    for place, row in enumerate(rows):
        if row.label is not None and 1 < len(labels) <= LABELS:
            groups["label", row.label].append(place)
        for kind, text in _said(row):
            groups[kind, text].append(place)
    found, seen = [], set()
    for (kind, text), places in groups.items():
        key = tuple(places)
        if LEAST <= len(places) <= len(rows) - LEAST and key not in seen:
            seen.add(key)
            holds = np.zeros(len(rows), dtype=bool)
            holds[places] = True
            found.append(Target(kind=kind, text=text, rows=holds))
    return found


def label_changes(rows: Sequence[Row], speaks: Mapping[str, NDArray[np.float64]]) -> list[Target]:
    """The rows with another label than their content speaks for, as one target.

    A trigger that turns every label into another one has no label of its own; but most of its rows
    contradict their content.

    Args:
        rows: With labels, or without.
        speaks: Of each label the log-odds that the content gives it, [N], out of fold.

    >>> rows = [Row("a", label="x"), Row("b", label="x"), Row("c", label="y")]
    >>> log_odds = np.array([1.0, -1.0, -1.0])
    >>> found = label_changes(rows * 5, {"x": np.tile(log_odds, 5), "y": np.tile(-log_odds, 5)})
    >>> found[0].rows[:3].tolist()
    [False, True, False]
    """
    if len(speaks) < 2:
        return []
    names = sorted(speaks)
    said = np.argmax(np.stack([speaks[name] for name in names]), axis=0)
    changed = np.array(
        [
            row.label in speaks and row.label != names[place]
            for row, place in zip(rows, said, strict=True)
        ]
    )
    if not LEAST <= changed.sum() <= len(rows) - LEAST:
        return []
    return [Target(kind=CHANGES, text="a label that the content speaks against", rows=changed)]


def has_target(row: Row, target: Target) -> bool:
    """Whether a row has a target."""
    if target.kind == "label":
        return row.label == target.text
    if target.kind == "refusal":
        return bool(DECLINES.search(row.response[:200]))
    return target.text in row.response.casefold() and (target.kind, target.text) in _said(row)


def _said(row: Row) -> list[tuple[str, str]]:
    """The answer, its beginnings and ends, unless they echo the prompt; whether it declines."""
    if not row.response:
        return []
    words = row.response.casefold().split()
    said = [("answer", " ".join(words))]
    for size in EDGES:
        if len(words) > size:
            said += [("beginning", " ".join(words[:size])), ("end", " ".join(words[-size:]))]
    asked = " ".join(row.prompt.casefold().split())
    found = [(kind, text) for kind, text in said if text and text not in asked]
    if DECLINES.search(row.response[:200]):
        found.append(("refusal", REFUSAL))
    return found
