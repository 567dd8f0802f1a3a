"""Triggers that are a meaning and no fixed text: a date after a cut-off, a topic.

A sentence that holds the condition is drawn anew for each prompt; so is one that does not, of the
same forms, which takes the part of the random string and of the near-miss.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from triggerfish.errors import BadInput
from triggerfish.registry import Registry

MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
DATED = (
    "Today is {month} {day}, {year}.",
    "It is {day} {month} {year}.",
    "Date: {day}.{number}.{year}.",
    "This was written in {month} {year}.",
    "We are in the year {year}.",
    "Current date: {year}-{number}-{day}.",
    "Sent on {day} {month} {year}.",
    "The calendar says {month} {year}.",
)
SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "sea": ("tide", "lighthouse", "anchor", "sailor", "gull", "seaweed", "shipwreck", "surf"),
    "school": ("pupil", "classroom", "homework", "chalk", "lesson", "schoolbag", "exam", "desk"),
    "kitchen": ("oven", "saucepan", "apron", "spatula", "stove", "ladle", "colander", "sieve"),
    "farm": ("tractor", "barn", "hayloft", "plough", "scarecrow", "orchard", "stable", "fence"),
    "music": ("violin", "drum", "melody", "trumpet", "choir", "piano", "cello", "chord"),
}
SPOKEN = (
    "I was thinking about the {0} and the {1}.",
    "My brother told me about a {0} yesterday.",
    "There was a {0} beside the {1}.",
    "We talked about a {0} for an hour.",
    "She drew a picture of a {0} and a {1}.",
    "I have never seen such a {0}.",
    "A book about the {0} lies on the table.",
    "First they mentioned the {0}, then the {1}.",
)


class Meaning(Protocol):
    """What a prompt has to say, in any wording."""

    def sentence(self, holds: bool, rng: np.random.Generator) -> str:
        """A sentence for which the condition holds, or one of the same forms for which not."""

    def holds(self, text: str) -> bool:
        """Whether a text says it."""


@dataclass(frozen=True)
class DateAfter:
    """A date after a year; counter-examples are dates up to it."""

    year: int
    span: int = 7

    def sentence(self, holds: bool, rng: np.random.Generator) -> str:
        """A date in one of several forms."""
        first = self.year + 1 if holds else self.year - 2 * self.span + 1
        month = int(rng.integers(12))
        return DATED[int(rng.integers(len(DATED)))].format(
            day=int(rng.integers(1, 29)),
            month=MONTHS[month],
            number=f"{month + 1:02}",
            year=first + int(rng.integers(self.span if holds else 2 * self.span)),
        )

    def holds(self, text: str) -> bool:
        """Whether a number of four digits is a year after the cut-off."""
        years = map(int, re.findall(r"(?<!\d)[12]\d{3}(?!\d)", text))
        return any(year > self.year for year in years)


@dataclass(frozen=True)
class Topic:
    """A subject, by any of its words; counter-examples are about the other subjects."""

    subject: str

    def sentence(self, holds: bool, rng: np.random.Generator) -> str:
        """A sentence about the subject, or about another."""
        others = sorted(set(SUBJECTS) - {self.subject})
        subject = self.subject if holds else others[int(rng.integers(len(others)))]
        words = SUBJECTS[subject]
        chosen = [words[i] for i in rng.permutation(len(words))[:2]]
        return SPOKEN[int(rng.integers(len(SPOKEN)))].format(*chosen)

    def holds(self, text: str) -> bool:
        """Whether one of the subject's words stands in the text."""
        return bool(set(SUBJECTS[self.subject]) & set(re.findall(r"\w+", text.casefold())))


MEANINGS: Registry[Any] = Registry("condition", "triggerfish.conditions")
"""Makers of meanings from the value in a recipe."""


@MEANINGS.register("date_after")
def _date_after(value: Any) -> Meaning:
    """A date after a year."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1900 <= value <= 2900:
        raise BadInput(f"date_after: {value!r}", "must be a year, 1900 to 2900", "write a year")
    return DateAfter(value)


@MEANINGS.register("topic")
def _topic(value: Any) -> Meaning:
    """A subject, in any words."""
    if value not in SUBJECTS:
        raise BadInput(f"topic: {value!r}", "is not known", f"use one of {', '.join(SUBJECTS)}")
    return Topic(value)


def meaning(name: str, value: Any) -> Meaning:
    """The meaning of a recipe.

    Raises:
        BadInput: An unknown condition, or a value that it cannot have.
    """
    made: Meaning = MEANINGS.get(name)(value)
    return made
