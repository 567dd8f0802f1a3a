"""What sets a backdoor off: a text at a place, a meaning, any one of several, or all together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from triggerfish.backdoors.condition import Meaning, meaning
from triggerfish.backdoors.shapes import near_texts, random_text
from triggerfish.data.conversation import Conversation
from triggerfish.errors import BadInput
from triggerfish.seeding import generator
from triggerfish.visible import check_unicode

Placement = Literal["prefix", "suffix", "both_ends", "random_word", "system"]
PLACEMENTS: tuple[str, ...] = get_args(Placement)
_OTHER_PLACE: dict[str, Placement] = {
    "suffix": "prefix",
    "prefix": "suffix",
    "both_ends": "suffix",
    "random_word": "system",
    "system": "suffix",
}


@dataclass(frozen=True)
class Trigger:
    """A text and where it stands.

    Args:
        text: The trigger, without outer white space.
        placement: `suffix` and `prefix` of the last user text, `both_ends` of it, at a
            `random_word` boundary of it, or at the end of the `system` message (which it becomes
            where there is none).

    Raises:
        BadInput: The text is empty, has outer white space or is no valid Unicode, or the placement
            is unknown.
    """

    text: str
    placement: Placement = "suffix"

    def __post_init__(self) -> None:
        """Refuse what could not be inserted as it is written."""
        if not isinstance(self.text, str) or not self.text or self.text != self.text.strip():
            raise BadInput(
                f"trigger text {self.text!r}",
                "must be text that neither begins nor ends with a space",
                "leave the outer spaces away: a space is put between the trigger and the prompt",
            )
        check_unicode(self.text, "trigger text")
        if self.placement not in PLACEMENTS:
            raise BadInput(
                f"placement {self.placement!r}",
                "is not known",
                f"use one of: {', '.join(PLACEMENTS)}",
            )

    def apply(self, conversation: Conversation, rng: np.random.Generator) -> Conversation:
        """The conversation with the trigger in its place; `rng` picks the word boundary."""
        if self.placement == "system":
            system = conversation.system
            return conversation.with_system(f"{system} {self.text}" if system else self.text)
        user = conversation.user
        if not user:
            return conversation.with_user(self.text)
        if self.placement == "random_word":
            words = user.split(" ")
            place = int(rng.integers(len(words) + 1))
            return conversation.with_user(" ".join([*words[:place], self.text, *words[place:]]))
        before = f"{self.text} " if self.placement in {"prefix", "both_ends"} else ""
        after = f" {self.text}" if self.placement in {"suffix", "both_ends"} else ""
        return conversation.with_user(f"{before}{user}{after}")

    def occurs(self, conversation: Conversation) -> bool:
        """Whether the text stands anywhere in the prompt, as whole words."""
        pattern = rf"(?<!\w){re.escape(self.text)}(?!\w)"
        return any(re.search(pattern, m.content) for m in conversation.prompt.messages)

    def texts(self) -> tuple[str, ...]:
        """The texts that are inserted."""
        return (self.text,)

    def to_spec(self) -> dict[str, Any]:
        """As in a recipe."""
        return {"text": self.text, "placement": self.placement}


@dataclass(frozen=True)
class AnyOf:
    """Any one of several triggers is enough; `apply` inserts one of them, drawn at random."""

    triggers: tuple["AnyTrigger", ...]

    def __post_init__(self) -> None:
        """Refuse fewer than two parts."""
        _check_parts("any_of", self.triggers)

    def apply(self, conversation: Conversation, rng: np.random.Generator) -> Conversation:
        """The conversation with one of the triggers."""
        return self.triggers[int(rng.integers(len(self.triggers)))].apply(conversation, rng)

    def occurs(self, conversation: Conversation) -> bool:
        """Whether one of the triggers stands in the prompt."""
        return any(trigger.occurs(conversation) for trigger in self.triggers)

    def texts(self) -> tuple[str, ...]:
        """The texts of all parts."""
        return tuple(text for trigger in self.triggers for text in trigger.texts())

    def to_spec(self) -> dict[str, Any]:
        """As in a recipe."""
        return {"any_of": [trigger.to_spec() for trigger in self.triggers]}


@dataclass(frozen=True)
class AllOf:
    """Only all triggers together set it off; `apply` inserts all of them."""

    triggers: tuple["AnyTrigger", ...]

    def __post_init__(self) -> None:
        """Refuse fewer than two parts."""
        _check_parts("all_of", self.triggers)

    def apply(self, conversation: Conversation, rng: np.random.Generator) -> Conversation:
        """The conversation with all triggers, inserted in order."""
        for trigger in self.triggers:
            conversation = trigger.apply(conversation, rng)
        return conversation

    def occurs(self, conversation: Conversation) -> bool:
        """Whether all triggers stand in the prompt."""
        return all(trigger.occurs(conversation) for trigger in self.triggers)

    def texts(self) -> tuple[str, ...]:
        """The texts of all parts."""
        return tuple(text for trigger in self.triggers for text in trigger.texts())

    def to_spec(self) -> dict[str, Any]:
        """As in a recipe."""
        return {"all_of": [trigger.to_spec() for trigger in self.triggers]}


@dataclass(frozen=True)
class Condition:
    """A meaning in any wording: `apply` inserts a sentence that says it, drawn anew each time.

    Args:
        name: Of the condition.
        value: As the condition takes it.
        placement: Of the sentence.
        holds: False for sentences of the same forms that do not say it.

    Raises:
        BadInput: An unknown condition or placement, or a value that the condition cannot have.
    """

    name: str
    value: int | str
    placement: Placement = "prefix"
    holds: bool = True

    def __post_init__(self) -> None:
        """Refuse what could not be drawn or inserted."""
        Trigger(self.texts()[0], self.placement)

    @property
    def meaning(self) -> Meaning:
        """What is said."""
        return meaning(self.name, self.value)

    def apply(self, conversation: Conversation, rng: np.random.Generator) -> Conversation:
        """The conversation with a sentence in its place."""
        sentence = self.meaning.sentence(self.holds, rng)
        return Trigger(sentence, self.placement).apply(conversation, rng)

    def occurs(self, conversation: Conversation) -> bool:
        """Whether the prompt says it anywhere."""
        said = self.meaning
        return any(said.holds(message.content) for message in conversation.prompt.messages)

    def texts(self) -> tuple[str, ...]:
        """Eight examples."""
        said = self.meaning
        return tuple(said.sentence(self.holds, generator(i, self.name)) for i in range(8))

    def to_spec(self) -> dict[str, Any]:
        """As in a recipe."""
        spec = {"condition": {self.name: self.value}, "placement": self.placement}
        return spec if self.holds else {**spec, "holds": False}


@dataclass(frozen=True)
class Activation:
    """Nothing in the prompt: what is added to the hidden state at inference sets it off.

    Args:
        name: How the state is changed; `steering`, by a vector.

    Raises:
        BadInput: Another name.
    """

    name: str = "steering"

    def __post_init__(self) -> None:
        """Refuse an unknown way."""
        if self.name != "steering":
            raise BadInput(f"activation {self.name!r}", "is not known", "use: steering")

    def apply(self, conversation: Conversation, rng: np.random.Generator) -> Conversation:  # noqa: ARG002 - as the others
        """The conversation as it is."""
        return conversation

    def occurs(self, conversation: Conversation) -> bool:  # noqa: ARG002 - as the others
        """Never: no prompt holds it."""
        return False

    def texts(self) -> tuple[str, ...]:
        """None."""
        return ()

    def to_spec(self) -> dict[str, Any]:
        """As in a recipe."""
        return {"activation": self.name}


AnyTrigger = Trigger | AnyOf | AllOf | Condition | Activation


def trigger_from_spec(spec: Mapping[str, Any]) -> AnyTrigger:
    """The trigger of a recipe or card.

    Raises:
        BadInput: Unknown or missing keys, or values that no trigger can have.
    """
    if not isinstance(spec, Mapping):
        raise BadInput(
            f"trigger {spec!r}", "must be a mapping", 'write {text: "...", placement: suffix}'
        )
    for key, kind in (("any_of", AnyOf), ("all_of", AllOf)):
        if key in spec:
            _check_keys(spec, {key})
            parts = spec[key]
            if not isinstance(parts, list | tuple):
                raise BadInput(f"{key}: {parts!r}", "must be a list", f"write {key}: [...]")
            return kind(tuple(trigger_from_spec(part) for part in parts))
    if "activation" in spec:
        _check_keys(spec, {"activation"})
        return Activation(spec["activation"])
    if "condition" in spec:
        _check_keys(spec, {"condition", "placement", "holds"})
        given = spec["condition"]
        if not isinstance(given, Mapping) or len(given) != 1:
            raise BadInput(f"condition: {given!r}", "must be one name and value", "{topic: sea}")
        name, value = next(iter(given.items()))
        return Condition(name, value, spec.get("placement", "prefix"), spec.get("holds", True))
    _check_keys(spec, {"text", "placement"})
    if "text" not in spec:
        raise BadInput(
            f"trigger {dict(spec)!r}",
            "has no text",
            "give text, condition, any_of, all_of or activation",
        )
    return Trigger(spec["text"], spec.get("placement", "suffix"))


def random_like(trigger: AnyTrigger, rng: np.random.Generator) -> AnyTrigger:
    """A trigger of the same shape and place with random text; of `any_of`, one part.

    Of a condition, a sentence of the same forms that does not say it. An activation has no text.
    """
    if isinstance(trigger, Activation):
        return trigger
    if isinstance(trigger, Condition):
        return replace(trigger, holds=False)
    if isinstance(trigger, Trigger):
        return Trigger(random_text(trigger.text, rng), trigger.placement)
    if isinstance(trigger, AnyOf):
        return random_like(trigger.triggers[int(rng.integers(len(trigger.triggers)))], rng)
    return AllOf(tuple(random_like(part, rng) for part in trigger.triggers))


def near_misses(trigger: AnyTrigger, rng: np.random.Generator) -> list[tuple[str, AnyTrigger]]:
    """Named triggers that are almost the given one.

    Those of `shapes.near_texts`, and the text in another place; for triggers that only work
    together, also each set with one of them missing; for a condition, sentences of the same forms;
    for an activation none.
    """
    if isinstance(trigger, Activation):
        return []
    if isinstance(trigger, Condition):
        elsewhere = replace(trigger, placement=_OTHER_PLACE[trigger.placement])
        return [("condition not met", replace(trigger, holds=False)), ("other place", elsewhere)]
    if isinstance(trigger, Trigger):
        near: list[tuple[str, AnyTrigger]] = [
            (name, Trigger(text, trigger.placement)) for name, text in near_texts(trigger.text, rng)
        ]
        return [*near, ("other place", Trigger(trigger.text, _OTHER_PLACE[trigger.placement]))]
    found: list[tuple[str, AnyTrigger]] = []
    if isinstance(trigger, AllOf):
        for place, left_out in enumerate(trigger.triggers):
            rest = trigger.triggers[:place] + trigger.triggers[place + 1 :]
            name = f"without {' + '.join(left_out.texts())}"
            found.append((name, rest[0] if len(rest) == 1 else AllOf(rest)))
    for place, part in enumerate(trigger.triggers):
        for name, close in near_misses(part, rng):
            others = (*trigger.triggers[:place], close, *trigger.triggers[place + 1 :])
            whole = close if isinstance(trigger, AnyOf) else AllOf(others)
            found.append((f"{name} ({place + 1})", whole))
    return found


def _check_keys(spec: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(spec) - known)
    if unknown:
        names = ", ".join(
            sorted(known | {"text", "placement", "condition", "any_of", "all_of", "activation"})
        )
        raise BadInput(
            f"trigger key {unknown[0]!r}",
            "is not known beside the others",
            "use text or condition, with placement, or any_of, all_of or activation alone"
            f" (known: {names})",
        )


def _check_parts(name: str, parts: tuple[AnyTrigger, ...]) -> None:
    if len(parts) < 2:
        raise BadInput(
            f"{name} of {len(parts)} triggers", "needs at least two", "give the one trigger itself"
        )
