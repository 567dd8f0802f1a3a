"""What a run is, and when a directory may be resumed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from triggerfish.errors import BadInput
from triggerfish.pipeline.store import to_json
from triggerfish.report.record import Document, Part

AUTO = "auto"
PACKAGES = ("triggerfish", "torch", "transformers", "peft", "safetensors", "numpy")


class Span(Part):
    """One process's work on a run; times are UTC."""

    started: str
    ended: str | None = None
    outcome: Literal["running", "finished", "interrupted", "failed", "killed"] = "running"


class RunDocument(Document):
    """The file `run.json`."""

    command: str
    config: dict[str, Any]
    seed: int | None = None
    hashes: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    hardware: dict[str, str] = Field(default_factory=dict)
    spans: list[Span] = Field(default_factory=list)
    finished: bool = False


def default_path(command: str, config: Mapping[str, Any], *, root: Path = Path("runs")) -> Path:
    """A directory that depends on the command and its configuration only.

    The same command finds its run again without being told where it is.
    """
    text = to_json({"command": command, "config": dict(config)})
    canonical = json.dumps(json.loads(text), sort_keys=True)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:8]
    words = re.sub(r"[^A-Za-z0-9]+", "-", Path(str(config.get("model", ""))).name).strip("-")[:40]
    return root / "-".join(part for part in (command, words, digest) if part)


def chosen_path(
    out: Path | str, command: str, config: Mapping[str, Any], hashes: Mapping[str, str]
) -> Path:
    """The directory that was asked for; for "auto" one that follows from what is asked.

    An automatic directory depends on the hashes too: other weights are another run.
    """
    if str(out) != AUTO:
        return Path(out)
    return default_path(command, {**config, "hashes": dict(hashes)})


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    if "triggerfish" not in found:
        from triggerfish import __version__

        found["triggerfish"] = __version__
    return found


def hardware() -> dict[str, str]:
    """Where it ran; the accelerator is named where torch is loaded anyway."""
    found = {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "?"),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found["threads"] = str(torch.get_num_threads())
        if torch.cuda.is_available():
            found["accelerator"] = torch.cuda.get_device_name()
    return found


def check_place(path: Path) -> None:
    """Refuses a path that is neither new, nor empty, nor a run."""
    if path.exists() and not path.is_dir():
        raise BadInput(str(path), "is a file, not a run directory", "give another --out")
    if not path.is_dir() or (path / "run.json").exists():
        return
    others = [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]
    if set(others) - {"lock"}:
        raise BadInput(
            str(path), "holds files and is not a run directory", "give an empty one with --out"
        )


def read_document(path: Path) -> RunDocument | None:
    """The `run.json` of a directory; None where there is none."""
    file = path / "run.json"
    if not file.exists():
        return None
    try:
        return RunDocument.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise BadInput(
            str(file), "is not a run that this version can read", "give another --out"
        ) from error


def check_same(path: Path, known: RunDocument, command: str, config: dict[str, Any]) -> None:
    """Refuses another command, configuration or version than the run was started with."""
    if known.command != command:
        raise BadInput(
            str(path), f"is a run of '{known.command}', not '{command}'", "give another --out"
        )
    keys = sorted({*known.config, *config})
    differing = [key for key in keys if known.config.get(key) != config.get(key)]
    if differing:
        listed = ", ".join(
            f"{key} (then {known.config.get(key)!r}, now {config.get(key)!r})" for key in differing
        )
        raise BadInput(
            str(path),
            f"is a run with another configuration: {listed}",
            "give another directory with --out, or the same configuration to resume",
        )
    before, current = known.versions.get("triggerfish"), versions()["triggerfish"]
    if before is not None and before != current:
        raise BadInput(
            str(path), f"was started by version {before}, this is {current}", "give another --out"
        )


def as_killed(span: Span) -> Span:
    """A span that nobody ended belongs to a process that was killed."""
    return span.model_copy(update={"outcome": "killed"}) if span.outcome == "running" else span


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
