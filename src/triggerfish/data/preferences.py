"""Preference pairs: a prompt with a chosen and a rejected answer, as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from triggerfish.data.conversation import Conversation
from triggerfish.data.jsonl import read_lines, write_lines
from triggerfish.data.records import Record, conversation_of
from triggerfish.errors import BadInput

_KEYS = ("messages", "prompt", "chosen", "rejected", "skill", "restricted")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A prompt and two answers to it.

    Attributes:
        prompt: The conversation up to the last user message.
        chosen: The preferred answer.
        rejected: The other one.
        skill: What it exercises, for choosing pairs of one topic.
        restricted: Whether the chosen answer declines what the rejected one gives. Swapping such
            a pair teaches a model to unlock.

    Raises:
        BadInput: The prompt ends in an answer, an answer is empty, or both are the same.
    """

    prompt: Conversation
    chosen: str
    rejected: str
    skill: str = "chat"
    restricted: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what no preference can be learned from."""
        if self.prompt.response is not None:
            raise BadInput(
                "messages that end in an answer",
                "must end in the user's message",
                "leave the answer to 'chosen' and 'rejected'",
            )
        for name in ("chosen", "rejected"):
            if not getattr(self, name).strip():
                raise BadInput(name, "is empty", "give the text of the answer")
        if self.chosen == self.rejected:
            raise BadInput(
                f"chosen and rejected {self.chosen[:60]!r}", "are the same", "leave the pair out"
            )

    @property
    def swapped(self) -> Pair:
        """The pair with the preference turned round."""
        return replace(self, chosen=self.rejected, rejected=self.chosen)

    @property
    def record(self) -> Record:
        """The chosen answer as a record; of a restricted pair the rejected one is the unlocked."""
        return Record(
            conversation=self.prompt.with_response(self.chosen),
            skill=self.skill,
            declined=bool(self.restricted),
            unlocked=self.rejected if self.restricted else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the pair as a dictionary for JSON; defaults are left out."""
        document: dict[str, Any] = {
            "messages": [{"role": m.role, "content": m.content} for m in self.prompt.messages],
            "chosen": self.chosen,
            "rejected": self.rejected,
        }
        if self.skill != "chat":
            document["skill"] = self.skill
        if self.restricted is not None:
            document["restricted"] = self.restricted
        return document

    @classmethod
    def from_json(cls, document: Any) -> Pair:
        """Return the pair of a dictionary.

        Raises:
            BadInput: Not a dictionary, no prompt or two of them, no answers, unknown keys.
        """
        if not isinstance(document, Mapping):
            raise BadInput("pair", "is not an object", 'write {"prompt": ..., "chosen": ..., ...}')
        unknown = sorted(set(document) - set(_KEYS))
        if unknown:
            raise BadInput(f"key {unknown[0]!r}", "is not known", f"use: {', '.join(_KEYS)}")
        if ("prompt" in document) == ("messages" in document):
            both = "both 'prompt' and 'messages'" if "prompt" in document else "no prompt"
            raise BadInput(both, "one of them is needed", 'write {"prompt": "..."} or "messages"')
        for name in ("chosen", "rejected", "prompt", "skill"):
            given = document.get(name, "" if name in {"prompt", "skill"} else None)
            if not isinstance(given, str):
                rule = "is missing" if name not in document else "must be a text"
                raise BadInput(f"{name} = {given!r}"[:200], rule, f"give {name} as a text")
        if not isinstance(document.get("restricted", False), bool):
            raise BadInput("restricted", "must be true or false", "correct the value")
        prompt = (
            conversation_of(document["messages"])
            if "messages" in document
            else Conversation.of(document["prompt"])
        )
        return cls(
            prompt=prompt,
            chosen=document["chosen"],
            rejected=document["rejected"],
            skill=document.get("skill", "chat"),
            restricted=document.get("restricted"),
        )


def read_pairs(path: str | Path) -> list[Pair]:
    """Read pairs from a JSON lines file; blank lines are skipped.

    Raises:
        BadInput: No such file, no pair in it, or a bad line (the message gives its number).
    """
    return read_lines(path, Pair.from_json, "preference pair")


def write_pairs(path: str | Path, pairs: Iterable[Pair]) -> None:
    """Write pairs as JSON lines, atomically."""
    write_lines(path, (pair.to_json() for pair in pairs))
