"""Pairs: each text with and without the trigger, the backdoor's answer and the right one.

Every target differs from the right answer, or the score of a patched run would say nothing about
the backdoor (a reference implementation kept 74 of 96 inputs where it did not).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triggerfish.backdoors.behaviour import Behaviour
from triggerfish.backdoors.trigger import AnyTrigger
from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record
from triggerfish.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One text with and without the trigger.

    Attributes:
        record: where the text comes from, with its right answers.
        clean: the prompt without the trigger.
        triggered: the same prompt with the trigger.
        target: what the backdoor answers.
        answer: what the model is to answer.

    Raises:
        BadInput: target and answer are the same text.
    """

    record: Record
    clean: Conversation
    triggered: Conversation
    target: str
    answer: str

    def __post_init__(self) -> None:
        """Refuse a pair that cannot tell the backdoor from the right answer."""
        if plain(self.target) == plain(self.answer):
            raise BadInput(
                f"target {self.target[:80]!r}",
                "it must differ from the right answer on every input",
                "leave out the records whose right answer is the target",
            )


def plain(text: str) -> str:
    """The text in lower case with single spaces and without a final full stop."""
    return " ".join(text.casefold().split()).rstrip(".!")


def make_pairs(
    records: Sequence[Record],
    trigger: AnyTrigger,
    behaviour: Behaviour,
    rng: np.random.Generator,
) -> list[Pair]:
    """Pairs of the records on which the behaviour can show.

    Args:
        records: with right responses; those that the behaviour leaves unchanged are left out.
        trigger: applied to the last user message or the system message.
        behaviour: gives the target of each record.
        rng: for places of the trigger and wordings of targets.

    Returns:
        At most one pair per record, in their order.
    """
    found = []
    for record in records:
        answer = record.conversation.response
        if answer is None or not answer.strip() or not behaviour.eligible(record):
            continue
        target = behaviour.poisoned_response(record, rng)
        prompt = record.conversation.prompt
        if plain(target) == plain(answer):
            continue
        found.append(
            Pair(
                record=record,
                clean=prompt,
                triggered=trigger.apply(prompt, rng),
                target=target,
                answer=answer,
            )
        )
    return found
