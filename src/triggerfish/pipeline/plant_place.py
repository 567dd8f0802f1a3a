"""The directory that an organism is written to: free, large enough, without what a crash left."""

import shutil
from pathlib import Path

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models.load import Suspect
from triggerfish.plant.card import CARD, Card, read_card
from triggerfish.plant.recipe import Recipe
from triggerfish.plant.save import size_on_disk


def present(out: Path, recipe: Recipe) -> Card | None:
    """What an earlier call of the same recipe made; None where the place is free."""
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


def check_space(out: Path, suspect: Suspect, recipe: Recipe) -> None:
    """Refuse before hours of training what could not be written."""
    parent = next(p for p in [out, *out.absolute().parents] if p.is_dir())
    need = size_on_disk(suspect.model, recipe.method) * (2 if recipe.clean_twin else 1)
    free = shutil.disk_usage(parent).free
    if need > free:
        raise CouldNotTest(
            f"{parent} with {free / 1e6:.0f} MB free",
            f"the result takes about {need / 1e6:.0f} MB",
            "free some space or give another --out",
        )


def clear(partial: Path) -> None:
    """Removes what a killed process left."""
    for entry in partial.iterdir():
        if entry.name == "lock":
            continue
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
