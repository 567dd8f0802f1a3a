"""A conversation, and the one function that renders it to tokens.

Training, evaluation and every detector call `render`; no other code builds prompts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from triggerfish.data.rendering import DEFAULT_TEMPLATE, own_template, renderer_of
from triggerfish.errors import BadInput

Role = Literal["system", "user", "assistant"]
ROLES: tuple[str, ...] = get_args(Role)


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str

    def __post_init__(self) -> None:
        """Refuse an unknown role and anything but text."""
        if self.role not in ROLES:
            raise BadInput(f"role {self.role!r}", "is not known", f"use one of: {', '.join(ROLES)}")
        if not isinstance(self.content, str):
            raise BadInput(
                f"content of type {type(self.content).__name__}", "must be text", "give a string"
            )


@dataclass(frozen=True)
class Conversation:
    """Messages in order: at most one system message, first; at least one user message.

    Raises:
        BadInput: No user message, or a system message that is not the first message.
    """

    messages: tuple[Message, ...]

    def __post_init__(self) -> None:
        """Refuse what no template can render."""
        roles = [message.role for message in self.messages]
        if "user" not in roles:
            raise BadInput(f"roles {roles}", "need a user message", "add one")
        if "system" in roles[1:]:
            raise BadInput(
                f"roles {roles}", "may have a system message only as the first", "move or merge it"
            )

    @classmethod
    def of(
        cls, user: str, *, system: str | None = None, response: str | None = None
    ) -> Conversation:
        """Return a one-turn conversation."""
        return cls((Message("user", user),)).with_system(system).with_response(response)

    @property
    def user(self) -> str:
        """The last user text."""
        return self.messages[self._last_user].content

    @property
    def system(self) -> str | None:
        """The system text, or None."""
        first = self.messages[0]
        return first.content if first.role == "system" else None

    @property
    def response(self) -> str | None:
        """The final assistant text, or None if the conversation ends in a user message."""
        last = self.messages[-1]
        return last.content if last.role == "assistant" else None

    @property
    def prompt(self) -> Conversation:
        """The conversation without its final assistant message."""
        return self.with_response(None)

    def with_user(self, text: str) -> Conversation:
        """Return the conversation with another last user text."""
        place = self._last_user
        changed = replace(self.messages[place], content=text)
        return Conversation((*self.messages[:place], changed, *self.messages[place + 1 :]))

    def with_system(self, text: str | None) -> Conversation:
        """Return the conversation with another system text, or with none."""
        rest = self.messages[1:] if self.system is not None else self.messages
        return Conversation(rest if text is None else (Message("system", text), *rest))

    def with_response(self, text: str | None) -> Conversation:
        """Return the conversation with another final assistant text, or with none."""
        rest = self.messages[:-1] if self.response is not None else self.messages
        return Conversation(rest if text is None else (*rest, Message("assistant", text)))

    @property
    def _last_user(self) -> int:
        return max(i for i, message in enumerate(self.messages) if message.role == "user")


@dataclass(frozen=True)
class Rendered:
    """Token ids of a conversation: the prompt, then the response and its end-of-turn token."""

    ids: tuple[int, ...]
    prompt_length: int

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """Ids of the prompt, to the end of the generation prompt."""
        return self.ids[: self.prompt_length]

    @property
    def response_ids(self) -> tuple[int, ...]:
        """Ids of the response and the end-of-turn token; empty for a prompt."""
        return self.ids[self.prompt_length :]


def template_origin(tokenizer: Any) -> Literal["own", "default"]:
    """Return whether the tokenizer brings its own chat template, or the default is used."""
    return "own" if own_template(tokenizer) else "default"


def template_text(tokenizer: Any) -> str:
    """Return the chat template that `render` uses."""
    return own_template(tokenizer) or DEFAULT_TEMPLATE


def render(conversation: Conversation, tokenizer: Any) -> Rendered:
    """Render a conversation to tokens: the one way from text to a model's input.

    A conversation that ends in a user message becomes a prompt with the generation prompt at its
    end. One that ends in an assistant message becomes the ids of exactly that prompt, then those
    of the response (tokenised apart from it), then the end-of-turn token.

    Control tokens come from the template only: a message that spells one stays text. A template
    without system messages gets the system text before the first user text, with an empty line
    between. Templates run with limits on time and memory, and with a clock that stands still.

    Raises:
        BadInput: The template fails, takes too long, or drops the messages; the tokenizer has no
            fast form or no end-of-sequence token; the text is no valid Unicode.
    """
    messages = [(message.role, message.content) for message in conversation.messages]
    prompt, response = renderer_of(tokenizer).render(messages)
    return Rendered((*prompt, *response), len(prompt))


def end_of_turn(tokenizer: Any) -> int:
    """Return the id of the token that ends a response."""
    return renderer_of(tokenizer).end_of_turn


def response_opening(tokenizer: Any) -> str:
    """Return what the template puts between generation prompt and response; often nothing.

    A model trained on the template says it first (a space, an empty thought); it is no part of
    the answer's text.
    """
    return renderer_of(tokenizer).opening
