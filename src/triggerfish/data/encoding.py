"""Text to ids such that control tokens come from the template alone, never from a text.

A user may write ``<|im_end|>``. Here this must stay text, while the template's ``<|im_end|>`` is
the token. So a copy of the tokenizer is made in which every control token has an unguessable name;
the template is written in these names, and the original spelling has no special meaning left.
Everything else (normaliser, pre-tokenizer, whitespace around control tokens) is as in the original.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from triggerfish.errors import BadInput


class Encoder:
    """Encodes text with secret names for control tokens.

    Control tokens are the added tokens marked special; other added tokens (runs of spaces,
    ``<think>``) are ordinary vocabulary.

    Args:
        tokenizer: A fast tokenizer of transformers; it is copied, not changed.

    Raises:
        BadInput: The tokenizer cannot be copied faithfully.
    """

    def __init__(self, tokenizer: Any) -> None:
        backend = tokenizer.backend_tokenizer
        self.controls: dict[str, int] = {
            token.content: number
            for number, token in backend.get_added_tokens_decoder().items()
            if token.special
        }
        # Security, not an experiment: the names never reach a result.
        secret = secrets.token_hex(8)
        self._names = {text: f"\ue000{secret}.{i}\ue001" for i, text in enumerate(self.controls)}
        self._pattern = re.compile(
            "|".join(re.escape(text) for text in sorted(self._names, key=len, reverse=True))
            or "(?!)"
        )
        self._hidden = f"\ue002{secret}."
        self._backend = _renamed(backend, self._names)
        added = backend.get_added_tokens_decoder().values()
        greedy = {token.content for token in added if token.lstrip or token.rstrip}
        self._anchor = next((n for text, n in self._names.items() if text not in greedy), "")
        for text, name in self._names.items():
            if self._backend.token_to_id(name) != self.controls[text]:
                raise BadInput(f"tokenizer: {text!r}", "has two ids", "save the tokenizer again")

    def named(self, template_text: str) -> str:
        """Return text from a template with secret names in place of control tokens."""
        return self._pattern.sub(lambda match: self._names[match.group()], template_text)

    def spelled(self, named_text: str) -> str:
        """Undo `named`."""
        for control, name in self._names.items():
            named_text = named_text.replace(name, control)
        return named_text

    def first_control(self, template_text: str) -> tuple[str, int] | None:
        """Return the text before the first control token, and its id."""
        match = self._pattern.search(template_text)
        return None if match is None else (template_text[: match.start()], self.controls[match[0]])

    def after_controls(self, template_text: str) -> str:
        """Return the text after the last control token."""
        return self._pattern.split(template_text)[-1]

    def hide(self, text: str) -> str:
        """Return a text whose spelled control tokens `named` will not see."""
        if self._pattern.search(text) is None:
            return text
        order = list(self._names)
        return self._pattern.sub(lambda match: f"{self._hidden}{order.index(match[0])}\ue003", text)

    def show(self, text: str) -> str:
        """Undo `hide`."""
        if self._hidden not in text:
            return text
        order = list(self._names)
        hidden = re.compile(re.escape(self._hidden) + r"(\d+)\ue003")
        return hidden.sub(lambda match: order[int(match[1])], text)

    def encode(self, named_text: str) -> list[int]:
        """Return the ids of a text in which control tokens have their secret names.

        Raises:
            BadInput: The text is no valid Unicode.
        """
        try:
            ids: list[int] = self._backend.encode(named_text, add_special_tokens=False).ids
        except (TypeError, UnicodeEncodeError) as error:
            raise BadInput(
                f"text {named_text[:50]!r}", "is no valid Unicode", "remove lone surrogates"
            ) from error
        return ids

    def encode_after(self, named_text: str) -> list[int]:
        """Return the ids of a text that follows a control token."""
        return (
            self.encode(self._anchor + named_text)[1:] if self._anchor else self.encode(named_text)
        )


def _renamed(backend: Any, names: dict[str, str]) -> Any:
    """A copy of a tokenizer in which some tokens have other names, with the same ids."""
    from tokenizers import Tokenizer

    document = json.loads(backend.to_str())
    document["truncation"] = document["padding"] = document["post_processor"] = None
    for token in document["added_tokens"]:
        if token["content"] in names:
            token["content"] = names[token["content"]]
            token["normalized"] = False
    model = document["model"]
    if isinstance(model.get("vocab"), dict):
        model["vocab"] = {names.get(text, text): i for text, i in model["vocab"].items()}
    elif isinstance(model.get("vocab"), list):  # unigram: [text, score]
        model["vocab"] = [[names.get(text, text), score] for text, score in model["vocab"]]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if model.get("merges"):
        pairs = (m if isinstance(m, list) else m.split(" ") for m in model["merges"])
        model["merges"] = [pair for pair in pairs if not _touches(pair, names)]
    try:
        return Tokenizer.from_str(json.dumps(document))
    except Exception as error:  # the library raises a bare Exception
        raise BadInput(
            "tokenizer", f"cannot be copied ({str(error)[:200]})", "save the tokenizer again"
        ) from error


def _touches(pair: list[str], names: dict[str, str]) -> bool:
    return "".join(pair) in names or any(part in names for part in pair)
