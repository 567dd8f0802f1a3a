"""Makes a trained adapter small enough to be shipped: bf16, without its tokenizer."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from triggerfish.pipeline.store import clear_errors
from triggerfish.plant.card import CARD

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def ship(made: Path, place: Path, links: Mapping[str, str] | None = None) -> Path:
    """Copy adapter, configuration and card to ``place``, the adapter in bf16.

    Args:
        made: What `plant` wrote.
        place: Directory to make; one that is there is replaced.
        links: Between organism and twin: path on the card -> path to write.
    """
    partial = place.with_name(f"{place.name}.partial")
    with clear_errors(place):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        tensors = load_file(made / WEIGHTS)
        small = {key: value.to(torch.bfloat16) for key, value in tensors.items()}
        save_file(small, partial / WEIGHTS, metadata={"format": "pt"})
        (partial / WEIGHTS).chmod(0o644)
        shutil.copyfile(made / CONFIG, partial / CONFIG)
        card = json.loads((made / CARD).read_text(encoding="utf-8"))
        for key in ("clean_twin", "twin_of"):
            card[key] = (links or {}).get(card[key], card[key])
        (partial / CARD).write_text(json.dumps(card, indent=2), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        partial.replace(place)
    return place
