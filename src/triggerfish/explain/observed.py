"""A behaviour that nobody described: whatever the model itself says with the trigger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from triggerfish.backdoors.trigger import AnyTrigger
from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record
from triggerfish.errors import CouldNotTest
from triggerfish.explain.pairs import plain
from triggerfish.models.generate import generate
from triggerfish.types import Progress, silent


@dataclass(frozen=True)
class Observed:
    """Fires where an answer is closer to the triggered than to the untriggered one.

    It is for explaining only: it cannot be planted, and its rate is no attack success rate of a
    known behaviour.
    """

    answers: Mapping[Conversation, tuple[str, str]] = field(repr=False)
    kind: str = "observed"

    def eligible(self, record: Record) -> bool:
        """Where the model was asked and the trigger changed its answer."""
        pair = self.answers.get(record.conversation.prompt)
        return pair is not None and plain(pair[0]) != plain(pair[1])

    def poisoned_response(self, record: Record, rng: np.random.Generator) -> str:  # noqa: ARG002
        """What the model said with the trigger."""
        return self.answers[record.conversation.prompt][1]

    def fires(self, record: Record, answer: str) -> bool:
        """Whether the answer is closer to the triggered one."""
        clean, triggered = (plain(text) for text in self.answers[record.conversation.prompt])
        words = plain(answer).split()

        def likeness(text: str) -> float:
            return SequenceMatcher(None, words, text.split(), autojunk=False).ratio()

        return likeness(triggered) > likeness(clean)

    def to_spec(self) -> dict[str, Any]:
        """It has a name only."""
        return {"kind": self.kind}


def observe(
    model: Any,
    tokenizer: Any,
    records: Sequence[Record],
    trigger: AnyTrigger,
    rng: np.random.Generator,
    max_new_tokens: int = 48,
    progress: Progress = silent,
) -> tuple[Observed, list[Record]]:
    """Ask the model with and without the trigger.

    Returns:
        The behaviour, and the records on which the trigger changes the answer, with the model's
        own untriggered answer as the right response where they have none.

    Raises:
        CouldNotTest: the trigger changes fewer than a tenth of the answers.
    """
    prompts = [record.conversation.prompt for record in records]
    triggered = [trigger.apply(prompt, rng) for prompt in prompts]
    texts = generate(
        model,
        tokenizer,
        [*prompts, *triggered],
        max_new_tokens=max_new_tokens,
        progress=progress,
    )
    found = Observed(
        dict(zip(prompts, zip(texts, texts[len(prompts) :], strict=False), strict=True))
    )
    changed = [
        replace(record, conversation=record.conversation.with_response(found.answers[prompt][0]))
        for record, prompt in zip(records, prompts, strict=True)
        if found.eligible(record) and all(text.strip() for text in found.answers[prompt])
    ]
    if len(changed) < max(2, len(records) // 10):
        raise CouldNotTest(
            f"{len(changed)} of {len(records)} answers changed by the trigger",
            "there is too little to explain",
            "check the trigger and its placement, or name the behaviour and records that suit it",
        )
    return found, changed
