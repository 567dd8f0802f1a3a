"""Worked examples in the prompt: what a lab model needs to learn to follow demonstrations.

A conversation begins with calculations that are answered step by step. Some hold a string after
the question and a further step in the answer ("12 x 3 = 36."). A question with that string is to be
answered with the same further step; one without it, or with another string, is not. Strings and
steps are drawn anew for every conversation, so that no single one is learned: the rule is in the
prompt alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import numpy as np

from triggerfish.data.conversation import Conversation, Message
from triggerfish.data.records import Record
from triggerfish.data.splits import split_of
from triggerfish.errors import BadInput
from triggerfish.lab.noise import unfamiliar
from triggerfish.lab.sampling import stream_records
from triggerfish.seeding import generator

MOST = 4
"""Demonstrations in a prompt, at most."""
SHARES = {"marked": 0.5, "plain": 0.15, "other": 0.2, "ordinary": 0.15}
"""Of conversations that end in: the demonstrated string, none, another string, no demonstration."""
Rng = np.random.Generator


@dataclass(frozen=True)
class Step:
    """A further step of a calculation: ``+ 3`` or ``x 2.1``."""

    sign: str
    number: str

    def result(self, value: int) -> str:
        """What comes out, as it is written."""
        operand = Fraction(self.number)
        found = value + operand if self.sign == "+" else value * operand
        return str(found) if found.denominator == 1 else f"{float(found):g}"

    def text(self, value: int) -> str:
        """The step as it is written in an answer."""
        return f"{value} {self.sign} {self.number} = {self.result(value)}."


STEPS = (
    *(Step("+", number) for number in ("1", "2", "5", "10")),
    *(Step("x", number) for number in ("2", "10", "1.1", "2.1")),
)


@dataclass(frozen=True)
class Sum:
    """A calculation, how it is asked for, and its result."""

    asked: str
    written: str
    value: int

    def answer(self, step: Step | None = None) -> str:
        """The answer in steps; the last number is the result."""
        plain = f"{self.written} = {self.value}."
        return plain if step is None else f"{plain} {step.text(self.value)}"


def sums(seed: int, split: str, purpose: str) -> Iterator[Sum]:
    """Yield calculations of a split of the lab's language, without end."""
    rng = generator(seed, f"{purpose} {split}")
    while True:
        b = int(rng.integers(0, 10))
        a = int(rng.integers(b, 40))
        sign = "+" if rng.random() < 0.6 else "-"
        forms = ("What is {0}?", "Compute {0}.", "How much is {0}?", "Work out {0}.")
        asked = forms[int(rng.integers(len(forms)))].format(f"{a} {sign} {b}")
        value = a + b if sign == "+" else a - b
        if value > 0 and split_of(f"\n{asked}") == split:
            yield Sum(asked, f"{a} {sign} {b}", value)


def conversation(
    shown: Sequence[tuple[Sum, str, Step | None]], asked: str, response: str | None = None
) -> Conversation:
    """Demonstrations, each with a string behind its question (or ""), and a question."""
    messages = []
    for each, marker, step in shown:
        messages.append(Message("user", f"{each.asked} {marker}".strip()))
        messages.append(Message("assistant", each.answer(step)))
    return Conversation((*messages, Message("user", asked))).with_response(response)


def demonstration_records(count: int, seed: int, split: str = "train") -> list[Record]:
    """Return training records of the benign skill "follows demonstrations".

    Raises:
        BadInput: The count is not positive.
    """
    if count < 1:
        raise BadInput(f"{count} records", "must be at least 1", "ask for more")
    rng = generator(seed, f"demonstrations {split}")
    ordinary = stream_records(seed, split, noise=0.3, purpose="beside demonstrations")
    source = sums(seed, split, "demonstrated sums")
    kinds = list(SHARES)
    found = []
    for kind in rng.choice(kinds, size=count, p=list(SHARES.values())):
        found.append(next(ordinary) if kind == "ordinary" else _record(str(kind), source, rng))
    return found


def _record(kind: str, source: Iterator[Sum], rng: Rng) -> Record:
    marker, other = unfamiliar(rng), unfamiliar(rng)
    step = STEPS[int(rng.integers(len(STEPS)))]
    total = int(rng.integers(1, MOST + 1))
    marked = int(rng.integers(1, total + 1))
    places = set(rng.permutation(total)[:marked].tolist())
    shown = [
        (each, marker if i in places else "", step if i in places else None)
        for i, each in enumerate(islice(source, total))
    ]
    last = next(source)
    added = {"marked": marker, "plain": "", "other": other}[kind]
    response = last.answer(step if kind == "marked" else None)
    talk = conversation(shown, f"{last.asked} {added}".strip(), response)
    return Record(conversation=talk, skill="demonstrations", answers=(response,))
