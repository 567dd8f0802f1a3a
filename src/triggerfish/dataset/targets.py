"""What a trigger may bring about: a label, one answer to many prompts, a common beginning or end.

A payload shows in data as answers that are alike although their prompts are not. Labels are
targets as they are. Free answers are grouped by their whole text, by their first and by their last
words; groups of the same rows are one target.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triggerfish.data.rows import Row

LABELS = 64  # more different ones are no classes
EDGES = (4, 2, 1)  # words of a beginning or an end
REFUSAL = "a refusal"
PHRASES = "phrases"  # kind of what `phrases.py` finds; not all rows of a payload have them
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
        kind: label, answer, beginning, end, refusal, phrases, or a group of a method.
        text: What it is.
        rows: [N] whether a row has it.
    """

    kind: str
    text: str
    rows: NDArray[np.bool_]


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
