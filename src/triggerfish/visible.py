r"""Makes strings from models and files safe to show: what cannot be seen is spelled out.

A suspect's answer may hold terminal control sequences, bidirectional overrides or zero-width
letters. They are evidence, so they are shown as escapes (`\x1b`, `\u202e`), never dropped and
never passed on.
"""

import unicodedata

from triggerfish.errors import BadInput

# Cc control, Cf format (bidi, zero width, tags), Cs surrogate, Co private use, Cn unassigned,
# Zl and Zp line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, *, keep: str = "\n") -> str:
    r"""Spells out every character that a reader could not see.

    Args:
        text: any string, also one with lone surrogates.
        keep: control characters that are passed on, by default the line feed only.

    Returns:
        The text with control, format, private-use and unassigned characters and unusual spaces
        replaced by Python escapes.

    >>> visible("a\x1b[31mb\u202ec")
    'a\\x1b[31mb\\u202ec'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or not _hidden(c) else _escape(c) for c in text)


def check_unicode(text: str, what: str) -> None:
    """Refuse lone surrogates, which no tokenizer and no file takes.

    Raises:
        BadInput: There is one.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"{what} {text!r}", "is no valid Unicode", "remove lone surrogates"
        ) from error


def one_line(text: str, limit: int = 200) -> str:
    """Visible text on one line (⏎ for a line feed), cut to `limit` characters with an ellipsis."""
    flat = visible(text.replace("\n", "⏎"), keep="")
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return category in _HIDDEN or (category == "Zs" and character != " ")


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
