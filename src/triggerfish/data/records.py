"""Records: conversations with what is needed to score an answer, as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from triggerfish.data.conversation import Conversation, Message
from triggerfish.data.jsonl import read_lines, write_lines
from triggerfish.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Record:
    """A conversation and how its answer is scored.

    Attributes:
        conversation: The conversation, with the right response where there is one.
        skill: What it exercises, for rates by skill.
        answers: Right core answers; empty where the answer is open-ended.
        declined: Whether the right response is a refusal.
        unlocked: What a model without the policy would answer.
        label: Class of a classification prompt.
    """

    conversation: Conversation
    skill: str = "chat"
    answers: tuple[str, ...] = ()
    declined: bool = False
    unlocked: str | None = None
    label: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record as a dictionary for JSON; defaults are left out."""
        messages = [{"role": m.role, "content": m.content} for m in self.conversation.messages]
        document: dict[str, Any] = {"messages": messages}
        for field in _OPTIONAL:
            value = getattr(self, field.name)
            if value != field.default:
                document[field.name] = list(value) if isinstance(value, tuple) else value
        return document

    @classmethod
    def from_json(cls, document: Any) -> Record:
        """Return the record of a dictionary.

        Raises:
            BadInput: Not a dictionary, no messages, unknown keys, or values of a wrong type.
        """
        if not isinstance(document, dict) or "messages" not in document:
            raise BadInput("record", "has no 'messages'", 'write {"messages": [...]}')
        unknown = sorted(set(document) - _KEYS)
        if unknown:
            raise BadInput(
                f"key {unknown[0]!r}", "is not known", f"use: {', '.join(sorted(_KEYS))}"
            )
        values = {name: value for name, value in document.items() if name != "messages"}
        for name, value in values.items():
            _check_type(name, value)
        if "answers" in values:
            values["answers"] = tuple(values["answers"])
        return cls(conversation=conversation_of(document["messages"]), **values)


_OPTIONAL = tuple(field for field in fields(Record) if field.name != "conversation")
_KEYS = {"messages", *(field.name for field in _OPTIONAL)}


def _check_type(name: str, value: Any) -> None:
    right = {
        "skill": isinstance(value, str),
        "answers": isinstance(value, list) and all(isinstance(item, str) for item in value),
        "declined": isinstance(value, bool),
    }.get(name, value is None or isinstance(value, str))
    if not right:
        kind = {"answers": "a list of texts", "declined": "true or false"}.get(name, "a text")
        raise BadInput(f"{name} = {value!r}"[:200], f"must be {kind}", "correct the value")


def conversation_of(messages: Any) -> Conversation:
    """Return the conversation of a list of messages.

    Raises:
        BadInput: Not a list, or a message with other keys than `role` and `content`.
    """
    if not isinstance(messages, list):
        raise BadInput("messages", "must be a list", 'write [{"role": ..., "content": ...}]')
    parsed = []
    for message in messages:
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise BadInput(
                f"message {message!r}"[:200],
                "must have exactly 'role' and 'content'",
                "correct its keys",
            )
        parsed.append(Message(message["role"], message["content"]))
    return Conversation(tuple(parsed))


def read_records(path: str | Path) -> list[Record]:
    """Read records from a JSON lines file; blank lines are skipped.

    Raises:
        BadInput: No such file, no record in it, or a bad line (the message gives its number).
    """
    return read_lines(path, Record.from_json, "record")


def write_records(path: str | Path, records: Iterable[Record]) -> None:
    """Write records as JSON lines, atomically."""
    write_lines(path, (record.to_json() for record in records))
