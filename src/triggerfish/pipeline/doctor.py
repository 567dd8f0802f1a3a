"""What this installation can do, what it runs on, and what is missing for which feature."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from triggerfish.pipeline.catalogue import lab_models
from triggerfish.report.record import Document, Part

CORE = (
    "torch", "transformers", "peft", "safetensors", "tokenizers", "scikit-learn", "scipy",
    "numpy", "pydantic", "typer", "rich", "jinja2", "pyyaml", "psutil",
)  # fmt: skip
EXTRAS = {
    "plant": (("trl", "accelerate", "datasets"), "plant organisms, remove by fine-tuning"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
LOW_MEMORY = 2.0  # GB; the demo needs so much


class Check(Part):
    """One line: what was looked at, what it is, and what to do where it is not well."""

    group: Literal["versions", "machine", "features"]
    name: str
    value: str
    state: Literal["good", "missing", "warning"]
    remedy: str = ""


class DoctorDocument(Document):
    """The result of `triggerfish doctor`."""

    command: Literal["doctor"] = "doctor"
    works: bool  # every core package is there
    checks: list[Check]


def examine() -> DoctorDocument:
    """Looks at versions, device, memory, threads and features; changes nothing."""
    checks = [*_versions(), *_machine(), *_features()]
    missing = [c for c in checks if c.group == "versions" and c.state == "missing"]
    return DoctorDocument(works=not missing, checks=checks)


def _versions() -> Iterator[Check]:
    yield Check(group="versions", name="python", value=platform.python_version(), state="good")
    for name in ("triggerfish", *CORE):
        yield _version(name)


def _version(name: str) -> Check:
    try:
        value = metadata.version(name)
    except metadata.PackageNotFoundError:
        if name == "triggerfish":  # used from a source tree
            from triggerfish import __version__

            return Check(group="versions", name=name, value=__version__, state="good")
        remedy = f"pip install {name}"
        return Check(group="versions", name=name, value="", state="missing", remedy=remedy)
    return Check(group="versions", name=name, value=value, state="good")


def _machine() -> Iterator[Check]:
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield Check(group="machine", name="system", value=system, state="good")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check(group="machine", name="cores", value=str(cores), state="good")
    yield _memory()
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    yield Check(
        group="machine",
        name="free disk",
        value=f"{free:.1f} GB",
        state="good" if free > 1 else "warning",
        remedy="" if free > 1 else "free some space: a run may need 1 GB",
    )
    if find_spec("torch") is not None:
        yield from _torch(cores or 1)


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    low = memory.available / 1e9 < LOW_MEMORY
    return Check(
        group="machine",
        name="memory",
        value=f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free",
        state="warning" if low else "good",
        remedy=f"the demo needs {LOW_MEMORY:.0f} GB: close other programs" if low else "",
    )


def _torch(cores: int) -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        device = f"{torch.cuda.get_device_name()}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    else:
        device = "cpu"
    yield Check(group="machine", name="device", value=device, state="good")
    threads = torch.get_num_threads()
    asked = os.environ.get("OMP_NUM_THREADS")
    too_many = threads > cores
    yield Check(
        group="machine",
        name="threads",
        value=f"{threads} of torch, OMP_NUM_THREADS {asked or 'not set'}",
        state="warning" if too_many else "good",
        remedy=f"set OMP_NUM_THREADS={cores}: more threads than cores slow it" if too_many else "",
    )


def _features() -> Iterator[Check]:
    bases = [model.name for model in lab_models()]
    yield Check(
        group="features",
        name="the lab, the demo",
        value=", ".join(bases) or "without weights",
        state="good" if bases else "missing",
        remedy="" if bases else "install a release: this one ships no lab weights",
    )
    for extra, (packages, use) in EXTRAS.items():
        absent = [name for name in packages if not _installed(name)]
        yield Check(
            group="features",
            name=use,
            value="ready" if not absent else f"without {', '.join(absent)}",
            state="missing" if absent else "good",
            remedy=f"pip install 'triggerfish[{extra}]'" if absent else "",
        )
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    yield Check(
        group="features",
        name="browser tests of the report",
        value=browser or "without Chromium",
        state="good" if browser else "missing",
        remedy="" if browser else "install the system's package 'chromium'",
    )


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
