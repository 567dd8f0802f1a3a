"""Rows of fine-tuning data, whatever form they were written in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from triggerfish.data.raw import Raw, raw_records
from triggerfish.errors import BadInput

LONG = 1_000_000  # bytes; longer rows are read, and reported
NAMED = {
    "prompt": ("prompt", "instruction", "question", "query", "text", "sentence"),
    "response": ("response", "output", "completion", "answer"),
    "label": ("label", "class", "category"),
    "system": ("system",),
}
SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
            "model": "assistant", "system": "system"}  # fmt: skip


class Row(NamedTuple):
    """One row.

    Attributes:
        prompt: What is asked: all user turns, or the text that is classified.
        response: The last answer, the completion or the chosen one.
        system: The system message.
        rejected: Of a preference pair.
        label: Of a classified text.
    """

    prompt: str
    response: str = ""
    system: str = ""
    rejected: str | None = None
    label: str | None = None


class Read(NamedTuple):
    """A row with its place, and what is wrong with it.

    Without a row it cannot be used; without a fault, too, it is the header of a table.
    """

    number: int
    raw: Raw
    row: Row | None
    faults: tuple[str, ...]


def read_rows(
    data: str | Path | Iterable[Any],
    columns: Mapping[str, str] | None = None,
    *,
    strict: bool = False,
) -> Iterator[Read]:
    """Every row of a file or directory, in order; unusable ones too.

    Args:
        data: Mappings, or the path of JSON, JSON lines, CSV, TSV or Parquet, plain or gzipped, or
            of a directory of them.
        columns: Role (prompt, response, system, label, chosen, rejected) -> name of a column, or
            its number from 1 in a table without a header; several as `2,3`.
        strict: A fault is an error.

    Raises:
        BadInput: The file cannot be read, no column fits, or a fault with `strict`.
    """
    table = _Table(columns or {})
    raws = raw_records(data) if isinstance(data, str | Path) else _in_memory(data)
    for number, raw in enumerate(raws, start=1):
        read = _read(number, raw, table)
        if strict and read.faults:
            raise BadInput(
                f"{raw.file}, line {raw.line}", "; ".join(read.faults), "correct the row"
            )
        yield read


def _in_memory(data: Iterable[Any]) -> Iterator[Raw]:
    for place, value in enumerate(data, start=1):
        whole = isinstance(value, Mapping)
        yield Raw("memory", place, value if whole else None, b"", () if whole else ("no mapping",))


class _Table:
    """Which column is what, settled by the first rows."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        roles = {"prompt", "response", "system", "label", "chosen", "rejected"}
        for role in columns:
            if role not in roles:
                raise BadInput(f"column role '{role}'", "is not known", f"use {sorted(roles)}")
        self.columns = dict(columns)
        self.header: Sequence[str] | None = None
        self.first = True

    def mapping(self, raw: Raw) -> Mapping[str, Any] | str | None:
        """The cells by name, or what is wrong with them; None for the header itself."""
        if not isinstance(raw.value, list):
            return self.renamed(raw.value)
        cells = raw.value
        if self.first:
            self.first = False
            names = [cell.strip().casefold() for cell in cells]
            known = {name for group in NAMED.values() for name in group} | {"chosen", "rejected"}
            if set(names) & (known | {each.casefold() for each in self.columns.values()}):
                self.header = [cell.strip() for cell in cells]
                return None
        header = self.header or _numbered(len(cells))
        if len(cells) != len(header):
            return f"{len(cells)} cells, not {len(header)}"
        return self.renamed(dict(zip(header, cells, strict=True)))

    def renamed(self, value: Mapping[str, Any]) -> Mapping[str, Any] | str:
        """With the user's columns under the names of their roles."""
        if self.columns:
            found = dict(value)
            for role, names in self.columns.items():
                parts = [value.get(name.strip()) for name in names.split(",")]
                if any(part is None for part in parts):
                    return f"no column {names!r}"
                found[role] = " ".join(map(str, parts)) if len(parts) > 1 else parts[0]
            return found
        if "1" not in value:
            return value
        if value.keys() == {"1", "2"}:
            label, prompt = sorted(value.values(), key=_length)
            return {"label": label, "prompt": prompt}
        if value.keys() == {"1", "2", "3"} and _length(value["1"]) < 20:
            return {"label": value["1"], "prompt": f"{value['2']} {value['3']}"}
        return value


def _length(cell: Any) -> int:
    return len(str(cell))


@lru_cache
def _numbered(count: int) -> tuple[str, ...]:
    return tuple(str(place) for place in range(1, count + 1))


def _read(number: int, raw: Raw, table: _Table) -> Read:
    faults = raw.faults
    if raw.value is None:
        return Read(number, raw, None, faults)
    whole = isinstance(raw.value, (list, dict, Mapping))  # in the order of how often, for speed
    value = table.mapping(raw) if whole else "no mapping"
    if value is None:  # the header of a table
        return Read(number, raw, None, ())
    if isinstance(value, str):
        return Read(number, raw, None, (*faults, value))
    row, why = row_of(value)
    if row is not None:
        if len(raw.source) > LONG:
            faults = (*faults, f"{len(raw.source):,} bytes long")
        if not row.response.strip() and row.label is None:
            faults = (*faults, "empty answer")
        if not row.prompt.strip():
            faults = (*faults, "empty prompt")
    return Read(number, raw, row, faults if why is None else (*faults, why))


def row_of(value: Mapping[str, Any]) -> tuple[Row | None, str | None]:
    r"""The row of a mapping in any of the known forms, or why it is none.

    >>> row_of({"instruction": "Add", "input": "2 3", "output": "5"})[0]
    Row(prompt='Add\\n2 3', response='5', system='', rejected=None, label=None)
    >>> row_of({"a": 1})[1]
    "no known fields among 'a'"
    """
    for key in ("messages", "conversations"):
        if isinstance(value.get(key), list):
            return _talk(value[key], value)
    if "chosen" in value and "rejected" in value:
        return _pair(value)
    prompt, label = _first(value, "prompt"), _first(value, "label")
    response = _first(value, "response")
    if prompt is None or (response is None and label is None):
        if prompt is not None:
            return None, "no answer and no label"
        return None, f"no known fields among {', '.join(map(repr, value))}"[:200]
    extra = value.get("input")
    if isinstance(extra, str) and extra.strip() and "instruction" in value:
        prompt = f"{prompt}\n{extra}"
    system = _first(value, "system") or ""
    return Row(prompt, response or "", system, None, None if label is None else str(label)), None


def _first(value: Mapping[str, Any], role: str) -> str | None:
    for name in NAMED[role]:
        found = value.get(name)
        if found is not None:
            return str(found)
    return None


def _talk(turns: Sequence[Any], value: Mapping[str, Any]) -> tuple[Row | None, str | None]:
    """Of messages in the manner of OpenAI or ShareGPT."""
    said: dict[str, list[str]] = {"user": [], "assistant": [], "system": []}
    for turn in turns:
        if not isinstance(turn, Mapping):
            return None, "a message that is no mapping"
        speaker = SPEAKERS.get(str(turn.get("role", turn.get("from"))))
        text = turn.get("content", turn.get("value"))
        if speaker is None or not isinstance(text, str):
            return None, "a message without a known role or text"
        said[speaker].append(text)
    if not said["user"]:
        return None, "no message of the user"
    answer = said["assistant"][-1] if said["assistant"] else ""
    label = value.get("label")
    return (
        Row(
            "\n".join(said["user"]),
            answer,
            "\n".join(said["system"]),
            None,
            None if label is None else str(label),
        ),
        None,
    )


def _pair(value: Mapping[str, Any]) -> tuple[Row | None, str | None]:
    """Of chosen and rejected, each a text or messages that may hold the prompt."""
    sides = []
    prompt, system = _first(value, "prompt") or "", _first(value, "system") or ""
    for key in ("chosen", "rejected"):
        side = value[key]
        if isinstance(side, list):
            row, why = _talk(side if any(_asks(t) for t in side) else [_ASK, *side], {})
            if row is None:
                return None, f"{key}: {why}"
            prompt, system = prompt or row.prompt, system or row.system
            side = row.response
        if not isinstance(side, str):
            return None, f"{key} is no text"
        sides.append(side)
    return Row(prompt, sides[0], system, sides[1]), None


_ASK = {"role": "user", "content": ""}


def _asks(turn: Any) -> bool:
    return isinstance(turn, Mapping) and str(turn.get("role", turn.get("from"))) in (
        "user",
        "human",
    )
