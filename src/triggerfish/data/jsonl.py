"""JSON lines: one object a line, with the line's number in every complaint."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from triggerfish.errors import BadInput

T = TypeVar("T")


def read_lines(path: str | Path, parse: Callable[[Any], T], noun: str) -> list[T]:
    """Read a JSON lines file; blank lines are skipped.

    Args:
        path: The file.
        parse: From the object of a line to what is wanted; raises BadInput.
        noun: What a line holds, for the message about an empty file.

    Raises:
        BadInput: No such file, nothing in it, or a bad line (the message gives its number).
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(str(path), "is not a file", "give the path of a JSON lines file")
    found = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                found.append(parse(json.loads(line)))
            except ValueError as error:  # bad JSON and bad UTF-8
                raise BadInput(
                    f"{path}, line {number}", f"is not JSON ({error})", "correct the line"
                ) from error
            except BadInput as error:
                raise BadInput(
                    f"{path}, line {number}: {error.value}", error.rule, error.remedy
                ) from error
            except RecursionError as error:
                raise BadInput(
                    f"{path}, line {number}", "is nested too deeply", "correct the line"
                ) from error
    if not found:
        raise BadInput(str(path), f"holds no {noun}", "give at least one line")
    return found


def write_lines(path: str | Path, documents: Iterable[Mapping[str, Any]]) -> None:
    """Write objects as JSON lines, atomically."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as out:
            for document in documents:
                out.write(json.dumps(document, ensure_ascii=False) + "\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
