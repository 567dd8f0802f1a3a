"""Checkpoints of a training that was killed, with which it goes on bit for bit.

The trainer writes weights, optimiser, schedule and random states. A checkpoint counts when its
marker is there, which is written last and holds the losses so far.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

SECONDS = 20.0
"""Time between two checkpoints."""
MARKER = "whole.json"


class Keeper(TrainerCallback):  # type: ignore[misc]
    """Asks the trainer for a checkpoint from time to time, and marks those that are whole."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.last = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:  # noqa: ARG002
        """Ask, when it is time."""
        if time.monotonic() - self.last >= SECONDS and state.global_step < state.max_steps:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:  # noqa: ARG002
        """Mark what was written."""
        place = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        partial = place / f"{MARKER}.partial"
        partial.write_text(json.dumps([float(loss) for loss in self.trainer.losses]))
        partial.replace(place / MARKER)
        self.last = time.monotonic()


def latest(directory: Path) -> tuple[Path, list[float]] | None:
    """The last whole checkpoint and its losses; others are removed."""
    found = sorted(
        (p for p in directory.glob("checkpoint-*") if p.is_dir()),
        key=lambda place: int(place.name.rpartition("-")[2]),
    )
    whole = [place for place in found if (place / MARKER).is_file()]
    for place in found:
        if not whole or place != whole[-1]:
            shutil.rmtree(place)
    if not whole:
        return None
    return whole[-1], json.loads((whole[-1] / MARKER).read_text())
