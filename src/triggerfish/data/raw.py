"""The records of a data file, one after the other, with the bytes that each came from.

JSON lines, one JSON array, CSV or TSV, and Parquet, plain or gzipped; a directory is its files in
order. What a file is, its first bytes say, not its name. Memory stays small whatever its size.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

from triggerfish.errors import BadInput

Kind = Literal["jsonl", "json", "csv", "tsv", "ssv", "parquet"]
SUFFIXES = {".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet", ".gz"}
CHUNK, LOOK, LINES = 1 << 20, 1 << 16, 20
# The next bracket outside of texts; what was passed is not tried in another way (`*+`).
_BRACKET = re.compile(rb'[^{}"]*+(?:"(?:[^"\\]++|\\.)*+"[^{}"]*+)*+([{}])', re.DOTALL)


class Raw(NamedTuple):
    """One record as it stands in a file.

    Attributes:
        file: Where it is.
        line: Its first line; of Parquet its row; from 1.
        value: A mapping for JSON and Parquet, a list of cells for CSV; None where it is unreadable.
        source: The bytes that it came from; empty for Parquet.
        faults: What is wrong with it.
    """

    file: str
    line: int
    value: Any
    source: bytes
    faults: tuple[str, ...] = ()


def files_of(path: str | Path) -> list[Path]:
    """A file, or the data files in a directory and below it, in the order of their names.

    Hidden ones are left out.

    Raises:
        BadInput: There is no such file, or no data file in the directory.
    """
    place = Path(path)
    if place.is_file():
        return [place]
    found = sorted(
        each
        for each in place.rglob("*")
        if each.suffix in SUFFIXES
        and each.is_file()
        and not any(part.startswith(".") for part in each.relative_to(place).parts)
    )
    if not found:
        raise BadInput(str(path), "is no data file, and no directory with any", "give its path")
    return found


def kind_of(path: Path) -> Kind:
    """What a file holds, by its first bytes; the mark between cells by its first lines.

    Raises:
        BadInput: It is empty or cannot be read.
    """
    try:
        with opened(path) as source:
            start = source.read(LOOK)
    except (EOFError, zlib.error) as error:
        raise BadInput(str(path), f"cannot be read ({error})", "get a whole copy") from error
    if start[:4] == b"PAR1":
        return "parquet"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text:
        raise BadInput(str(path), "is empty", "give a file with rows")
    if text[:1] == b"[":
        return "json"
    if text[:1] == b"{":
        return "jsonl"
    return delimited(text.splitlines()[:-1][:LINES] or text.splitlines())


def delimited(lines: Sequence[bytes]) -> Kind:
    r"""Tabs, semicolons or commas: the first that every line has, in equal number.

    >>> delimited([b"a, b\t1", b"c\t0"])
    'tsv'
    """
    for kind, mark in (("tsv", b"\t"), ("ssv", b";")):
        counts = {line.count(mark) for line in lines}
        if len(counts) == 1 and counts != {0}:
            return cast("Kind", kind)
    return "csv"


def raw_records(path: str | Path) -> Iterator[Raw]:
    """Every record of a file or directory, unreadable ones too.

    Raises:
        BadInput: A file is empty, truncated, or cannot be read.
    """
    readers = {"jsonl": _lines, "json": _array, "csv": _cells, "tsv": _cells, "ssv": _cells}
    for file in files_of(path):
        kind = kind_of(file)
        try:
            if kind == "parquet":
                yield from _parquet(file)
                continue
            with opened(file) as source:
                yield from readers[kind](source, str(file), kind)
        except (EOFError, zlib.error, OSError) as error:
            raise BadInput(str(file), f"cannot be read ({error})", "get a whole copy") from error


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, uncompressed.

    Raises:
        BadInput: It cannot be opened.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            if packed:
                with gzip.open(plain) as unpacked:
                    yield unpacked  # type: ignore[misc]
            else:
                yield plain
    except OSError as error:
        raise BadInput(str(path), f"cannot be read ({error})", "check the file") from error


def decoded(source: bytes) -> tuple[str, tuple[str, ...]]:
    r"""Text of bytes, and what was wrong with them.

    >>> decoded(b"caf\xe9")
    ('café', ('not UTF-8, read as Windows-1252',))
    """
    faults: tuple[str, ...] = ()
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError:
        text = source.decode("cp1252", errors="replace")
        faults = ("not UTF-8, read as Windows-1252",)
    return text, (*faults, "NUL bytes") if "\x00" in text else faults


def parsed(text: str) -> tuple[Any, tuple[str, ...]]:
    """The value of JSON text, and what is wrong with it; None where it is no JSON.

    >>> parsed('{"a": 1, "a": 2}')
    ({'a': 2}, ("key 'a' twice",))
    """
    faults: list[str] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            faults.append(f"key {twice!r} twice")
        return made

    try:
        return json.loads(text, object_pairs_hook=mapping, strict=False), tuple(faults)
    except ValueError as error:
        return None, (f"no JSON ({error})",)
    except RecursionError:
        return None, ("no JSON (nested too deeply)",)


def _lines(source: IO[bytes], file: str, kind: Kind) -> Iterator[Raw]:  # noqa: ARG001
    for number, line in enumerate(source, start=1):
        if not line.strip():
            continue
        text, faults = decoded(line)
        value, more = parsed(text.lstrip("\ufeff").replace("\x00", ""))
        yield Raw(file, number, value, line, faults + more)


def _array(source: IO[bytes], file: str, kind: Kind) -> Iterator[Raw]:  # noqa: ARG001
    """The objects of an array, each found by its balanced brackets."""
    buffer, at, line = b"", 0, 1
    while True:
        span = element(buffer, at)
        if span is None:
            more = source.read(CHUNK)
            if not more:
                break
            buffer, at = buffer[at:] + more, 0
            continue
        begin, end = span
        line += buffer.count(b"\n", at, begin)
        text, faults = decoded(buffer[begin:end])
        value, wrong = parsed(text.replace("\x00", ""))
        yield Raw(file, line, value, buffer[begin:end], faults + wrong)
        line += buffer.count(b"\n", begin, end)
        at = end
    rest = buffer[at:].strip(b" \t\r\n[],")
    if rest:
        yield Raw(file, line, None, rest, ("the file ends within a row",))


def element(buffer: bytes, at: int) -> tuple[int, int] | None:
    """Where the next object of an array begins and ends; None where it is not all there.

    >>> element(b'[{"a": "}"}, {"b": 1}]', 0)
    (1, 11)
    """
    begin = buffer.find(b"{", at)
    if begin < 0:
        return None
    depth, place = 1, begin + 1
    while depth:
        found = _BRACKET.match(buffer, place)
        if found is None:
            return None
        place = found.end()
        depth += 1 if found.group(1) == b"{" else -1
    return begin, place


def _cells(source: IO[bytes], file: str, kind: Kind) -> Iterator[Raw]:
    """Records of delimited text; one may go over several lines."""
    seen: list[bytes] = []
    faults: list[str] = []

    def lines() -> Iterator[str]:
        for line in source:
            seen.append(line)
            text, wrong = decoded(line)
            if wrong:
                faults.extend(wrong)
                text = text.replace("\x00", "")
            yield text.lstrip("\ufeff") if len(seen) == 1 else text

    csv.field_size_limit(1 << 30)
    reader = (
        csv.reader(lines(), delimiter="\t", quoting=csv.QUOTE_NONE)
        if kind == "tsv"
        else csv.reader(lines(), delimiter=";" if kind == "ssv" else ",")
    )
    number = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            cells, faults = [], [*faults, f"no CSV ({error})"]
        if cells is None:
            return
        whole, wrong, first = b"".join(seen), tuple(dict.fromkeys(faults)), number
        number += len(seen)
        seen.clear()
        faults.clear()
        if cells or wrong:
            yield Raw(file, first, cells or None, whole, wrong)


def _parquet(file: Path) -> Iterator[Raw]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise BadInput(
            str(file), "is Parquet, which needs pyarrow", "pip install 'triggerfish[dataset]'"
        ) from error
    number = 0
    try:
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=4096):
            for value in batch.to_pylist():
                number += 1
                yield Raw(str(file), number, value, b"")
    except (OSError, ValueError) as error:
        raise BadInput(
            str(file), f"is no whole Parquet file ({error})", "get a whole copy"
        ) from error
