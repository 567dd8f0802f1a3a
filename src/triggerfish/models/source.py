"""From a model argument to a directory: a path, ``lab:NAME``, or a hub id ``NAME@REVISION``."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from triggerfish.errors import BadInput
from triggerfish.models import checkpoint

LAB_WEIGHTS = Path(__file__).resolve().parents[1] / "lab" / "weights"
_LAB = "lab:"
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?@[\w./-]+")
_HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt")


def lab_names() -> tuple[str, ...]:
    """Return the names of the models in the package, without ``lab:``."""
    if not LAB_WEIGHTS.is_dir():
        return ()
    return tuple(sorted(path.name for path in LAB_WEIGHTS.iterdir() if path.is_dir()))


def resolve(model: str, *, network: bool = True) -> Path:
    """Return the directory of a model argument; a hub id is downloaded.

    Args:
        model: A directory, ``lab:NAME`` or ``NAME@REVISION``.
        network: Whether a hub id is allowed.

    Raises:
        BadInput: Nothing there; the message says what may be given.
    """
    if model.startswith(_LAB):
        return _lab_directory(model.removeprefix(_LAB))
    path = Path(model).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.exists():
        raise BadInput(model, "is a file", "give the directory that holds it")
    if network and _HUB_ID.fullmatch(model) and not model.startswith((".", "/")):
        return _download(model)
    raise BadInput(
        model,
        "is no directory",
        "give a directory, lab:NAME (one of: "
        f"{', '.join(lab_names()) or 'none installed'}) or a hub id NAME@REVISION",
    )


def adapter_base(directory: Path) -> str:
    """Return the base that an adapter names: in its configuration, else in its card.

    Only ``lab:NAME`` and directories count: what a suspect says never causes a download.

    Raises:
        BadInput: It names none that is on this machine.
    """
    settings = checkpoint.read_json(directory / "adapter_config.json")
    return named_base(directory, settings.get("base_model_name_or_path"))


def named_base(directory: Path, first: object) -> str:
    """Return the base that a directory names: `first`, else in its card; see `adapter_base`.

    Raises:
        BadInput: It names none that is on this machine.
    """
    named = [first]
    card = read_card(directory)
    recipe = card.get("recipe")
    named += [recipe.get("base") if isinstance(recipe, dict) else None, card.get("base")]
    candidates = [name for name in named if isinstance(name, str) and name]
    for name in candidates:
        if name.startswith(_LAB):
            return name
        for path in (directory / name, Path(name).expanduser()):
            if path.is_dir() and path.resolve() != directory:
                return str(path.resolve())
    raise BadInput(
        f"{directory}: base {candidates[0]!r}"[:300] if candidates else str(directory),
        "names no base that is on this machine",
        "give its base (--base)",
    )


def read_card(directory: Path) -> dict[str, Any]:
    """Return the card of an organism, or an empty dictionary where there is none."""
    path = directory / "card.json"
    return checkpoint.read_json(path) if path.is_file() else {}


def _lab_directory(name: str) -> Path:
    known = lab_names()
    if name in known:
        return LAB_WEIGHTS / name
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean lab:{close[0]}? " if close else ""
    listed = ", ".join(f"lab:{each}" for each in known) or "none installed"
    raise BadInput(f"lab:{name}", "is not in the lab", f"{hint}Known: {listed}")


def _download(model: str) -> Path:
    from huggingface_hub import snapshot_download

    name, _, revision = model.rpartition("@")
    try:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=list(_HUB_FILES))
        ).resolve()
    except Exception as error:  # the hub's client raises many kinds
        raise BadInput(
            model,
            f"cannot be fetched ({type(error).__name__}: {str(error).splitlines()[0][:200]})",
            "check the name, the revision and the network, or give a directory",
        ) from error
