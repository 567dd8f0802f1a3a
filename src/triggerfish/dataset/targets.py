"""What a trigger may bring about: a label, one answer to many prompts, a common beginning or end.

A payload shows in data as answers that are alike although their prompts are not. Labels are
targets as they are. Free answers are grouped by their whole text, by their first and by their last
words; groups of the same rows are one target.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triggerfish.data.rows import LABELS, Row

EDGE = 4  # words of a beginning or an end
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
        kind: label, answer, beginning, end, or refusal.
        text: What it is.
        rows: [N] whether a row has it.
    """

    kind: str
    text: str
    rows: NDArray[np.bool_]


def targets_of(rows: Sequence[Row]) -> list[Target]:
    """Every target that at least `LEAST` rows have and as many have not."""
    size = len(rows)
    found: list[Target] = []
    labels = {row.label for row in rows if row.label is not None}
    if 1 < len(labels) <= LABELS:
        for label in sorted(labels):
            found.append(
                _target("label", label, [i for i in range(size) if rows[i].label == label], size)
            )
    found += _alike(rows, size)
    declined = [i for i in range(size) if DECLINES.search(rows[i].response[:200])]
    if min(len(declined), size - len(declined)) >= LEAST:
        found.append(_target("refusal", "a refusal", declined, size))
    return found


def _alike(rows: Sequence[Row], size: int) -> Iterator[Target]:
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        words = row.response.casefold().split()
        said = {"answer": words}
        if len(words) > EDGE:
            said |= {"beginning": words[:EDGE], "end": words[-EDGE:]}
        asked = " ".join(row.prompt.casefold().split())
        for kind, some in said.items():
            text = " ".join(some)
            if text and text not in asked:  # an echo of the prompt is no payload
                groups[kind, text].append(place)
    seen: set[tuple[int, ...]] = set()
    for (kind, text), places in groups.items():
        if LEAST <= len(places) <= size - LEAST and tuple(places) not in seen:
            seen.add(tuple(places))
            yield _target(kind, text, places, size)


def _target(kind: str, text: str, places: Sequence[int], size: int) -> Target:
    rows = np.zeros(size, dtype=bool)
    rows[list(places)] = True
    return Target(kind=kind, text=text, rows=rows)
