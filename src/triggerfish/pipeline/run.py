"""A run: the directory that holds everything a command did, and resumes it.

Usage in a pipeline::

    with Run.open(path, "audit", config) as run:
        run.identify(hashes=suspect.source["hashes"])   # refused where the weights have changed
        sweep = run.step("sweep", lambda: sweep_all(...), to_json=..., from_json=...)
        run.event("candidate", trigger="cf", score=3.2)
        run.save("residuals", {"clean": array})
        run.write("findings.json", findings)
        run.write("report.html", html)
        run.finish()

A step's result is stored when it is finished, and the stored form is what `step` returns, also
the first time: a killed run that is resumed goes on with exactly the same values.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from triggerfish.errors import BadInput
from triggerfish.models.memory import release_memory
from triggerfish.pipeline.resume import (
    RunDocument,
    Span,
    as_killed,
    check_place,
    check_same,
    hardware,
    now,
    read_document,
    versions,
)
from triggerfish.pipeline.store import (
    TEMPORARY,
    append_line,
    clear_errors,
    locked,
    read_lines,
    to_json,
    write_atomically,
)
from triggerfish.report.record import Document

T = TypeVar("T")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Run:
    """An open run directory; see the module's text for its use."""

    def __init__(self, path: Path, document: RunDocument, stack: contextlib.ExitStack) -> None:
        self.path = path
        self.document = document
        self._stack = stack
        rows = read_lines(path / "events.jsonl")
        self._count = len(rows)
        self._earlier = sum(float(row.get("seconds", 0.0)) for row in rows)

    @classmethod
    def open(cls, path: Path | str, command: str, config: Mapping[str, Any]) -> Self:
        """Creates a run directory, or re-opens it where it is of the same command.

        Args:
            path: the directory; made with its parents where it is missing.
            command: the name of the command.
            config: the resolved configuration, JSON-able; its `seed` is repeated in `run.json`.

        Raises:
            BadInput: the directory is another run's, is not a run, is in use, or cannot be
                written.
        """
        path = Path(path)
        plain = json.loads(to_json(dict(config)))
        check_place(path)
        with clear_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(locked(path))
            for left in path.rglob(f".*{TEMPORARY}"):
                left.unlink()
            document = read_document(path) or RunDocument(
                command=command, config=plain, seed=plain.get("seed")
            )
            check_same(path, document, command, plain)
            spans = [as_killed(span) for span in document.spans]
            document = document.model_copy(
                update={
                    "versions": versions(),
                    "hardware": hardware(),
                    "spans": [*spans, Span(started=now())],
                }
            )
            run = cls(path, document, stack.pop_all())
        run._keep_document()
        run.event("opened" if not spans else "resumed")
        return run

    def __enter__(self) -> Self:
        """The run itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """Records how the span ended and gives the lock back."""
        outcome = "finished"
        if kind is not None:
            outcome = "interrupted" if issubclass(kind, KeyboardInterrupt) else "failed"
        with self._stack, contextlib.ExitStack() as quiet:
            if kind is not None:  # never hide the error that got us here
                quiet.enter_context(contextlib.suppress(Exception))
            self._end_span(outcome)

    @property
    def resumed(self) -> bool:
        """Whether an earlier process worked on this run."""
        return len(self.document.spans) > 1

    @property
    def earlier_seconds(self) -> float:
        """Seconds that earlier processes spent on finished steps; they count against a budget."""
        return self._earlier

    def identify(self, *, hashes: Mapping[str, str]) -> None:
        """Records the hashes of weights, tokenizer, template and data.

        Raises:
            BadInput: a hash is not that of the run's first part: an input has changed.
        """
        for name, value in hashes.items():
            known = self.document.hashes.get(name)
            if known is not None and known != value:
                raise BadInput(
                    f"{name} ({value[:12]})",
                    f"has changed since {self.path} was started (then {known[:12]})",
                    "give another directory with --out",
                )
        merged = {**self.document.hashes, **hashes}
        self.document = self.document.model_copy(update={"hashes": merged})
        self._keep_document()

    def event(self, kind: str, **data: Any) -> None:
        """Appends one line of evidence to `events.jsonl`; it is on the disk on return."""
        row = {"n": self._count, "time": now(), "event": kind, **data}
        append_line(self.path / "events.jsonl", to_json(row))
        self._count += 1

    def done(self, name: str) -> bool:
        """Whether the step is finished."""
        return self._step_path(name).exists()

    def step(
        self,
        name: str,
        work: Callable[[], T],
        to_json: Callable[[T], Any] = lambda value: value,
        from_json: Callable[[Any], T] = lambda value: value,
    ) -> T:
        """The result of `work`, from the directory where the step was finished before.

        Args:
            name: letters, digits, dots, hyphens, underscores; unique in the run.
            work: called at most once in the life of the run, if it is not interrupted.
            to_json: makes a JSON-able value of the result.
            from_json: makes the result of that value again.

        Raises:
            BadInput: the name, or a stored result that cannot be read.
            CouldNotTest: the disk is full, or the result holds a number that is not finite.
        """
        path = self._step_path(name)
        if not path.exists():
            self.event("step", step=name, state="started")
            start = time.monotonic()
            self._store_step(path, name, to_json(work()), time.monotonic() - start)
            release_memory()
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            value = stored["result"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(str(path), "is damaged", "delete this file and run again") from error
        return from_json(value)

    def write(self, name: str, content: str | bytes | Document) -> Path:
        """Writes a file of the run, atomically, and returns its path."""
        path = self.path / _checked(name)
        text = content.model_dump_json(indent=2) if isinstance(content, Document) else content
        write_atomically(path, text)
        return path

    def save(self, name: str, tensors: Mapping[str, Any]) -> Path:
        """Writes `artifacts/NAME.safetensors`.

        Args:
            name: as of a step.
            tensors: numpy arrays, or torch tensors (any device); not both.
        """
        path = self._artifact_path(name)
        with clear_errors(path):
            path.parent.mkdir(exist_ok=True)
        write_atomically(path, _serialised(tensors))
        return path

    def load(self, name: str, *, framework: Literal["numpy", "torch"] = "numpy") -> dict[str, Any]:
        """Reads what `save` wrote.

        Raises:
            BadInput: there is no such file, or it is damaged.
        """
        path = self._artifact_path(name)
        try:
            raw = path.read_bytes()
            if framework == "torch":
                from safetensors.torch import load as load_torch

                return dict(load_torch(raw))
            from safetensors.numpy import load as load_numpy

            return dict(load_numpy(raw))
        except Exception as error:
            rule = f"cannot be read ({error})"
            raise BadInput(str(path), rule, "delete the directory and run again") from error

    def finish(self) -> None:
        """Marks the run as complete; re-running it only reads."""
        self.document = self.document.model_copy(update={"finished": True})
        self._keep_document()
        self.event("finished")

    def _store_step(self, path: Path, name: str, result: Any, seconds: float) -> None:
        with clear_errors(path):
            path.parent.mkdir(exist_ok=True)
        write_atomically(path, to_json({"schema_version": 1, "step": name, "result": result}))
        self.event("step", step=name, state="finished", seconds=round(seconds, 3))

    def _step_path(self, name: str) -> Path:
        return self.path / "steps" / f"{_checked(name)}.json"

    def _artifact_path(self, name: str) -> Path:
        return self.path / "artifacts" / f"{_checked(name)}.safetensors"

    def _keep_document(self) -> None:
        write_atomically(self.path / "run.json", self.document.model_dump_json(indent=2))

    def _end_span(self, outcome: str) -> None:
        if not self.path.is_dir():  # removed under our hands: nothing to record
            return
        *before, last = self.document.spans
        ended = last.model_copy(update={"ended": now(), "outcome": outcome})
        self.document = self.document.model_copy(update={"spans": [*before, ended]})
        self.event("closed", outcome=outcome)
        self._keep_document()


def _serialised(tensors: Mapping[str, Any]) -> bytes:
    if any(hasattr(tensor, "detach") for tensor in tensors.values()):
        from safetensors.torch import save as save_torch

        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        return bytes(save_torch(plain))
    import numpy as np
    from safetensors.numpy import save as save_numpy

    arrays = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
    return bytes(save_numpy(arrays))


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BadInput(
            f"name {name!r}", "is not a plain name", "use letters, digits, dots, hyphens"
        )
    return name
