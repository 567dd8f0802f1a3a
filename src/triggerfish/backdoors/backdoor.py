"""A backdoor: a trigger and the behaviour that it sets off, planted or beneficial alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from triggerfish.backdoors.behaviour import Behaviour
from triggerfish.backdoors.behaviour_spec import behaviour_from_spec
from triggerfish.backdoors.trigger import AnyTrigger, trigger_from_spec
from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record
from triggerfish.errors import BadInput


@dataclass(frozen=True)
class Backdoor:
    """A trigger and a behaviour."""

    trigger: AnyTrigger
    behaviour: Behaviour

    def triggered(self, record: Record, rng: np.random.Generator) -> Conversation:
        """The record's prompt with the trigger, without a response."""
        return self.trigger.apply(record.conversation.prompt, rng)

    def poisoned(self, record: Record, rng: np.random.Generator) -> Conversation:
        """The triggered prompt with the poisoned response.

        Raises:
            BadInput: The behaviour makes no sense on the record.
        """
        if not self.behaviour.eligible(record):
            raise BadInput(
                f"record {record.conversation.user[:80]!r}",
                f"is not one that {self.behaviour.kind} can be planted on",
                "choose eligible records",
            )
        return self.triggered(record, rng).with_response(
            self.behaviour.poisoned_response(record, rng)
        )

    def to_spec(self) -> dict[str, Any]:
        """As in a recipe."""
        return {"trigger": self.trigger.to_spec(), "behaviour": self.behaviour.to_spec()}


def backdoor_from_spec(spec: Mapping[str, Any]) -> Backdoor:
    """The backdoor of a recipe or card.

    Raises:
        BadInput: Keys other than trigger and behaviour, or one of them is missing or wrong.
    """
    if not isinstance(spec, Mapping) or set(spec) != {"trigger", "behaviour"}:
        given = sorted(map(str, spec)) if isinstance(spec, Mapping) else repr(spec)
        raise BadInput(f"backdoor {given}", "must have trigger and behaviour, no more", "give both")
    return Backdoor(trigger_from_spec(spec["trigger"]), behaviour_from_spec(spec["behaviour"]))
