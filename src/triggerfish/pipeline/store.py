"""Files that are whole or not there: atomic writes, an append-only log, a lock."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triggerfish.errors import BadInput, CouldNotTest, TriggerfishError

TEMPORARY = ".tmp"


def write_atomically(path: Path, data: bytes | str) -> None:
    """Writes a file so that a reader sees the old content or the new, never a part.

    Raises:
        CouldNotTest: the disk is full; nothing is left half-written.
        BadInput: the place cannot be written to.
    """
    raw = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    with clear_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_directory(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def append_line(path: Path, line: str) -> None:
    """Appends one line and waits until it is on the disk.

    A write that fails half-way (full disk) is cut off again.

    Raises:
        CouldNotTest: the disk is full.
        BadInput: the place cannot be written to.
    """
    with clear_errors(path), path.open("ab") as file:
        whole = file.tell()
        try:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), whole)
            raise


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON lines file; a torn last line is cut off the file.

    Raises:
        BadInput: another line than the last is not JSON.
    """
    if not path.exists():
        return []
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        os.truncate(path, len(whole))
    rows = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise BadInput(
                f"{path}, line {number}", "is not JSON", "give another run directory with --out"
            ) from error
    return rows


def to_json(value: Any) -> str:
    """A value as JSON text; numpy, pydantic and path values are converted.

    Raises:
        CouldNotTest: a number is not finite.
        TypeError: a value that JSON cannot hold.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError as error:
        raise CouldNotTest(
            "a result to be stored", "holds a number that is not finite", "report this as a fault"
        ) from error


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds the lock file of a directory.

    The operating system gives the lock back when its process dies, however it dies, so that a
    stale file never blocks. The file holds the process id for people.

    Raises:
        BadInput: another live process holds it.
    """
    path = directory / "lock"
    handle = _take(path)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turns errors of the operating system into errors that a user can act on."""
    try:
        yield
    except OSError as error:
        raise _explained(path, error) from error


def _take(path: Path) -> int:
    while True:
        with clear_errors(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 32).decode(errors="replace") or "unknown"
            os.close(handle)
            raise BadInput(
                f"{path.parent} (process {holder})",
                "is in use by another process",
                "wait for it, or give another directory with --out",
            ) from error
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
        os.close(handle)  # its last holder removed the file in between


def _explained(path: Path, error: OSError) -> TriggerfishError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return CouldNotTest(
            str(path), "the disk is full", "free some space and run the same command; it resumes"
        )
    reason = error.strerror or str(error)
    return BadInput(str(path), f"cannot be written ({reason})", "give another place with --out")


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "tolist"):  # numpy scalars and arrays, torch tensors
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")
