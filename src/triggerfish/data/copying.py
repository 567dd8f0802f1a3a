"""Writes rows of a data file to others in its own format, byte for byte, and never in place."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self

from triggerfish.data.raw import Kind, files_of, kind_of
from triggerfish.data.rows import Read
from triggerfish.errors import BadInput

FLAGGED = 0.5  # score from which a row is not kept
BATCH = 4096  # rows of Parquet written at once


class Copier:
    """Up to three files: kept rows, other rows with reasons, and the score of every row.

    A row is kept where it could be read and its score is below `FLAGGED`. The files appear when
    everything was written, and not at all after an error.
    """

    def __init__(
        self,
        source: Path | None,
        clean: str | Path | None,
        quarantine: str | Path | None,
        scores: str | Path | None,
    ) -> None:
        """Refuse what would overwrite the input or cannot keep its format.

        Raises:
            BadInput: A target that is an input, two targets that are one, or no file to copy.
        """
        given = {name: Path(path) for name, path in _named(clean, quarantine, scores) if path}
        inputs = {each.resolve() for each in files_of(source)} if source else set()
        for name, path in given.items():
            if path.resolve() in inputs or (source and path.resolve() == source.resolve()):
                raise BadInput(f"{name} {path}", "is the input itself", "give another file")
        if len({path.resolve() for path in given.values()}) < len(given):
            raise BadInput("one file", "is given for two outputs", "give different files")
        if clean and source is None:
            raise BadInput(f"clean_to {clean}", "needs a file to copy from", "give a path")
        kinds: set[Kind] = set()
        if clean and source:
            kinds = {kind_of(each) for each in files_of(source)}
        if len(kinds) > 1:
            raise BadInput(f"{source}", f"has files of {sorted(kinds)}", "clean them one by one")
        self.kind = kinds.pop() if kinds else None
        self.places = given
        self.source = source
        self._open: dict[str, IO[bytes]] = {}
        self._kept = 0
        self._parquet: Any = None
        self._rows: list[Any] = []

    @property
    def writes(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.places)

    def __enter__(self) -> Self:
        """Open temporary files beside the wanted ones."""
        for name, path in self.places.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._partial(path).open("wb")
            packed = name == "clean_to" and path.suffix == ".gz"
            self._open[name] = gzip.open(file, "wb") if packed else file  # type: ignore[assignment]
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Put the files in their places, or remove them after an error."""
        if kind is None and "clean_to" in self._open:
            self._end()
        for name, file in self._open.items():
            file.close()
            partial = self._partial(self.places[name])
            if kind is None:
                partial.replace(self.places[name])
            else:
                partial.unlink(missing_ok=True)

    def write(self, read: Read, score: float, reasons: Sequence[str]) -> None:
        """One row, wherever it belongs."""
        if read.row is None and not read.faults:  # the header of a table, of the first file only
            if "clean_to" in self._open and not self._kept:
                self._keep(read)
            return
        place = {"file": read.raw.file, "line": read.raw.line}
        if "scores" in self._open:
            self._line("scores", place | {"score": score, "reasons": list(reasons)})
        if read.row is not None and score < FLAGGED:
            if "clean_to" in self._open:
                self._keep(read)
        elif "quarantine" in self._open:
            why = [*reasons, *read.faults]
            content = read.raw.source.decode("utf-8", "replace") or read.raw.value
            self._line("quarantine", place | {"reasons": why, "row": content})

    def _line(self, name: str, value: Any) -> None:
        self._open[name].write(json.dumps(value, ensure_ascii=True, default=str).encode() + b"\n")

    def _keep(self, read: Read) -> None:
        out, source = self._open["clean_to"], read.raw.source
        self._kept += 1
        if self.kind == "parquet":
            self._rows.append(read.raw.value)
            if len(self._rows) >= BATCH:
                self._flush()
        elif self.kind == "json":
            out.write((b"[\n" if self._kept == 1 else b",\n") + source)
        else:
            out.write(source if source.endswith(b"\n") else source + b"\n")

    def _end(self) -> None:
        if self.kind == "json":
            self._open["clean_to"].write(b"\n]\n" if self._kept else b"[]\n")
        elif self.kind == "parquet":
            self._flush()
            if self._parquet is not None:
                self._parquet.close()

    def _flush(self) -> None:
        import pyarrow as arrow
        from pyarrow import parquet

        if self._parquet is None and self.source is not None:
            schema = parquet.read_schema(files_of(self.source)[0])
            self._parquet = parquet.ParquetWriter(self._open["clean_to"], schema)
        table = arrow.Table.from_pylist(self._rows, schema=self._parquet.schema)
        self._parquet.write_table(table)
        self._rows.clear()

    @staticmethod
    def _partial(path: Path) -> Path:
        return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _named(
    clean: str | Path | None, quarantine: str | Path | None, scores: str | Path | None
) -> list[tuple[str, str | Path | None]]:
    return [("clean_to", clean), ("quarantine", quarantine), ("scores", scores)]
