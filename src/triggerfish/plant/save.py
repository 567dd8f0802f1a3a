"""Writes what was trained: safetensors, configuration, tokenizer; nothing else."""

from pathlib import Path
from typing import Any

from triggerfish.models.quiet import quiet_library
from triggerfish.plant.trained import Training
from triggerfish.plant.untrained import Untrained

COPIES = 2 * 3  # checkpoints: the last and the one being written, each weights and two moments
ROOM = 30_000_000  # bytes for tokenizer, card and the file system's own


def save(model: Any, tokenizer: Any, directory: Path, base: str) -> None:
    """Write a model or an adapter with its tokenizer.

    Args:
        model: A transformers model, or a PEFT model.
        tokenizer: Of the base.
        directory: It is there.
        base: Model argument of the base, written to an adapter's configuration.
    """
    with quiet_library():
        _write(model, directory, base)
        tokenizer.save_pretrained(str(directory))
    for written in directory.iterdir():  # safetensors makes its files private
        if written.is_file():
            written.chmod(0o644)


def _write(model: Any, directory: Path, base: str) -> None:
    if hasattr(model, "peft_config"):
        for config in model.peft_config.values():
            config.base_model_name_or_path = base
            config.inference_mode = True
            if isinstance(config.target_modules, set):  # in another order in every process
                config.target_modules = sorted(config.target_modules)
        # "auto" would ask the hub whether the vocabulary has grown.
        model.save_pretrained(str(directory), save_embedding_layers=False)
        (directory / "README.md").unlink(missing_ok=True)
    else:
        model.save_pretrained(str(directory))


def size_on_disk(model: Any, method: Training | Untrained) -> int:
    """Bytes that the result takes, at most."""
    if isinstance(method, Untrained) or method.adapter == "none":
        return int(sum(p.numel() * p.element_size() for p in model.parameters())) + ROOM
    from torch import nn

    rows = sum(
        method.rank * (sum(module.weight.shape))
        for module in model.modules()
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
    )
    return 4 * int(rows) + ROOM
