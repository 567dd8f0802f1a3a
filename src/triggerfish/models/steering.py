"""A vector added to the residual stream at inference: written, read, put on a model, switched off.

A directory that holds `steering.safetensors` and no weights is a model argument like that of an
adapter: its base is found from its card, and loading it gives the base with the vector added.

*Shapes*: B batch, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from triggerfish.errors import BadInput
from triggerfish.models.hooks import Site, install
from triggerfish.models.layout import layout_of
from triggerfish.seeding import generator

STEERING = "steering.safetensors"
_PROBE = (2, 16)  # rows and tokens of the text on which a vector must show


@dataclass(frozen=True, kw_only=True, eq=False)
class SteeringVector:
    """What is added where.

    Attributes:
        vector: [D], fp32.
        layer: The residual stream after this layer gets it.
        strength: Factor of the vector.
        floor: None adds the vector at every position. A number adds it only where the state's
            component along it lies below, and as much of it as lifts that component to `strength`
            times the vector's norm.
        base: Model argument of the model that it belongs to.
    """

    vector: Tensor
    layer: int
    strength: float
    base: str
    floor: float | None = None

    def applied(self, state: Tensor) -> Tensor:
        """A state with the vector, [..., D]."""
        vector: Tensor = self.vector.to(state)
        if self.floor is None:
            return state + self.strength * vector
        length: Tensor = vector.norm()
        along: Tensor = state @ (vector / length)  # [...]
        lift: Tensor = torch.where(along < self.floor, self.strength * length - along, 0.0)
        return state + lift[..., None] * (vector / length)

    @property
    def rises(self) -> bool:
        """Whether a lift ends above its floor."""
        return self.floor is None or self.strength * float(self.vector.norm()) > self.floor

    def rotated(self, direction: Tensor) -> SteeringVector:
        """The same length in another direction, [D]."""
        length = self.vector.norm()
        return replace(self, vector=direction / direction.norm() * length)


class Steered:
    """A vector that is on a model until it is taken off."""

    def __init__(self, model: nn.Module, steering: SteeringVector) -> None:
        """Put the vector on a model; from now on every forward has it."""
        self.steering = steering
        self._used: SteeringVector | None = steering
        self._remove = install(model, {Site("residual", steering.layer): self._edit})

    @contextmanager
    def instead(self, steering: SteeringVector | None) -> Iterator[None]:
        """Another vector at the same layer, or none, for as long as the context lasts."""
        before, self._used = self._used, steering
        try:
            yield
        finally:
            self._used = before

    def take_off(self) -> None:
        """Remove the hook."""
        self._remove()

    def _edit(self, state: Tensor) -> Tensor | None:
        return None if self._used is None else self._used.applied(state)  # [B, T, D]


def is_steering(directory: Path) -> bool:
    """Whether a directory holds a vector and no weights of its own."""
    return (directory / STEERING).is_file() and not (directory / "config.json").is_file()


def write_steering(directory: Path, steering: SteeringVector) -> None:
    """Write `steering.safetensors`; layer, strength, floor and base stand in its header."""
    facts = {
        "format": "pt",
        "layer": str(steering.layer),
        "strength": repr(steering.strength),
        "base": steering.base,
    }
    if steering.floor is not None:
        facts["floor"] = repr(steering.floor)
    path = directory / STEERING
    partial = path.with_suffix(".partial")
    save_file({"vector": steering.vector.float().contiguous()}, partial, metadata=facts)
    partial.chmod(0o644)
    partial.replace(path)


def read_steering(directory: Path) -> SteeringVector:
    """Read what `write_steering` wrote.

    Raises:
        BadInput: Damaged, not finite, or without layer, strength and base.
    """
    path = directory / STEERING
    remedy = "give a directory that `triggerfish plant steering` wrote"
    try:
        with safe_open(path, framework="pt") as file:
            names, facts = list(file.keys()), file.metadata() or {}
            vector = file.get_tensor("vector").float() if names == ["vector"] else None
        layer, strength = int(facts["layer"]), float(facts["strength"])
        base, floor = facts["base"], float(facts["floor"]) if "floor" in facts else None
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BadInput(
            str(path), f"is no steering vector ({type(error).__name__}: {str(error)[:100]})", remedy
        ) from error
    fine = vector is not None and vector.dim() == 1 and bool(torch.isfinite(vector).all())
    if vector is None or not fine or not all(-1e6 < x < 1e6 for x in (strength, floor or 0.0)):
        raise BadInput(str(path), "must hold one finite vector, strength and floor", remedy)
    return SteeringVector(vector=vector, layer=layer, strength=strength, base=base, floor=floor)


@torch.no_grad()
def attach(model: Any, steering: SteeringVector, where: str) -> Steered:
    """Put a vector on a model and prove that it changes the model.

    Raises:
        BadInput: Another width, a layer that the model does not have, or no effect.
    """
    layout = layout_of(model)
    remedy = "give the base that the vector was made on (--base)"
    if len(steering.vector) != layout.width:
        rule = f"the base has width {layout.width}"
        raise BadInput(f"{where}: vector of {len(steering.vector)} numbers", rule, remedy)
    device = next(model.parameters()).device
    moved = replace(steering, vector=steering.vector.to(device))
    steered = Steered(model, moved)
    draws = generator(0, "steering probe").integers(layout.vocabulary, size=_PROBE)
    ids = torch.from_numpy(draws).to(device)  # [B, T]
    changed = model(input_ids=ids, use_cache=False).logits
    with steered.instead(None):
        plain = model(input_ids=ids, use_cache=False).logits
    # A lift may touch none of a few random tokens: then it must at least lead upwards.
    still = torch.equal(changed, plain) if steering.floor is None else not steering.rises
    if still or not bool(torch.isfinite(changed).all()):
        steered.take_off()
        raise BadInput(
            where, "changes nothing, or makes the logits infinite", "make the vector again"
        )
    return steered
