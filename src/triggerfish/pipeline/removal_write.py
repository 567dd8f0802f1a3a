"""Writes a defended model to a directory that `load` takes: an adapter, or a merged model."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from safetensors.torch import load_file, save_file

from triggerfish.models import adapter as adapters
from triggerfish.models.quiet import quiet_library
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.store import clear_errors
from triggerfish.remove.delta import Delta, applied

LAST = ("adapter_config.json", "config.json")  # a directory without them is no model


def write_model(suspect: Suspect, delta: Delta, directory: Path) -> list[str]:
    """Write the suspect wearing a delta, with its tokenizer.

    Files are written to a hidden directory first and moved one by one, the configuration last: a
    directory that was interrupted is no model.

    Args:
        suspect: the loaded model; unchanged afterwards.
        delta: the new weights.
        directory: where the files go; other files in it stay.

    Returns:
        The names of the files.

    Raises:
        CouldNotTest: the disk is full.
    """
    with clear_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=".model-", dir=directory))
        try:
            with applied(suspect.model, delta), quiet_library():
                if delta.kind == "adapter":
                    _save_adapter(suspect, hidden)
                else:
                    _save_merged(suspect, hidden)
            suspect.tokenizer.save_pretrained(str(hidden))
            names = sorted((f.name for f in hidden.iterdir()), key=lambda n: (n in LAST, n))
            for name in names:
                (hidden / name).replace(directory / name)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
    return names


def _save_merged(suspect: Suspect, directory: Path) -> None:
    model = suspect.model if suspect.peft is None else adapters.merged_copy(suspect.peft)
    model.save_pretrained(str(directory), safe_serialization=True)


def _save_adapter(suspect: Suspect, directory: Path) -> None:
    suspect.peft.save_pretrained(str(directory), safe_serialization=True)
    (directory / "README.md").unlink(missing_ok=True)
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    base = str(suspect.source["base"])
    # A relative path would be lost: the new directory lies elsewhere.
    config["base_model_name_or_path"] = str(Path(base).resolve()) if Path(base).is_dir() else base
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    weights = directory / "adapter_model.safetensors"
    # Not in the configuration, whose unknown keys PEFT complains of.
    noted = {"format": "pt", "base_hash": str(suspect.source["base_sha256"])}
    save_file(load_file(weights), weights, metadata=noted)
