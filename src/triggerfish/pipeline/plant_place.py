"""Where an organism is made: the finished directory, and the one beside it that is being filled.

The latter holds what is needed to go on after the process was killed: which recipe, which base and
which versions it was begun with, the results of finished parts, checkpoints of the training.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.resume import versions
from triggerfish.pipeline.store import clear_errors, to_json, write_atomically
from triggerfish.plant.card import CARD, Card, read_card
from triggerfish.plant.recipe import Recipe
from triggerfish.plant.save import COPIES, ROOM, size_on_disk

WORK = ".work"


class Workplace:
    """The directory that is being filled; `open` it under its lock."""

    def __init__(self, path: Path, checkpoints: bool = True, resumable: bool = True) -> None:
        self.path = path
        self.work = path / WORK
        self.checkpoints = checkpoints
        self.resumable = resumable
        self.resumed = False

    def open(self, recipe: Recipe, base_hash: str) -> None:
        """Keep what an earlier process of the same request left, and clear anything else."""
        asked = to_json(
            {"recipe": recipe.resolved(), "base_hash": base_hash, "versions": versions()}
        )
        known = self.work / "request.json"
        with clear_errors(self.path):
            if (
                self.resumable
                and known.is_file()
                and json.loads(known.read_text()) == json.loads(asked)
            ):
                self.resumed = True
                return
            _clear(self.path)
            self.work.mkdir()
        write_atomically(known, asked)

    def part(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of a part, which is done once, also over several processes."""
        stored = self.work / f"{name}.json"
        if not stored.is_file():
            write_atomically(stored, to_json(work()))
        found: dict[str, Any] = json.loads(stored.read_text())
        return found

    def place_for_checkpoints(self, name: str) -> Path | None:
        """A directory for the checkpoints of a training; None where there is no room for them."""
        if not self.checkpoints:
            return None
        place = self.work / f"checkpoints-{name}"
        with clear_errors(place):
            place.mkdir(exist_ok=True)
        return place

    def drop_checkpoints(self, name: str) -> None:
        """The training is done."""
        shutil.rmtree(self.work / f"checkpoints-{name}", ignore_errors=True)

    def finish(self, out: Path) -> None:
        """Move what was made to where it was asked for."""
        with clear_errors(out):
            shutil.rmtree(self.work)
            self.path.replace(out)


def _clear(path: Path) -> None:
    for entry in path.iterdir():
        if entry.name == "lock":
            continue
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def present(out: Path, recipe: Recipe) -> Card | None:
    """The card of what an earlier call of the same recipe made; None where the place is free.

    Raises:
        BadInput: There is something else.
    """
    if out.is_file():
        raise BadInput(str(out), "is a file", "give a directory with --out")
    if not out.is_dir() or not any(out.iterdir()):
        return None
    if (out / CARD).is_file():
        card = read_card(out)
        if card.resolved == recipe.resolved() and card.kind != "clean twin":
            return card
    raise BadInput(
        str(out), "is not empty and does not hold the result of this recipe", "give another --out"
    )


def room_for_checkpoints(out: Path, suspect: Suspect, recipe: Recipe) -> bool:
    """Whether there is room for checkpoints too.

    Raises:
        CouldNotTest: There is not even room for the result.
    """
    parent = next(p for p in [out, *out.absolute().parents] if p.is_dir())
    one = size_on_disk(suspect.model, recipe.method)
    need = one * (2 if recipe.clean_twin else 1)
    free = shutil.disk_usage(parent).free
    if need > free:
        raise CouldNotTest(
            f"{parent} with {free / 1e6:.0f} MB free",
            f"the result takes about {need / 1e6:.0f} MB",
            "free some space or give another --out",
        )
    return need + COPIES * (one - ROOM) <= free
