"""What a defence hands back: new values for some of the suspect's weights, and how to wear them.

Training happens on the suspect's own modules, so that no second copy of a large model is needed.
`editing` lends them out and puts everything back: values, `requires_grad`, gradients, mode.
`applied` wears a delta for as long as a block lasts. So the caller's suspect is never changed.
*Deviates*: models stay in evaluation mode while they are trained: dropout would need global
randomness, and two runs of one seed would differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from triggerfish.errors import BadInput, CouldNotTest

Weights = Literal["auto", "adapter", "full"]


@dataclass(frozen=True, kw_only=True)
class Delta:
    """New values of some weights.

    Attributes:
        kind: "adapter" if only adapter weights changed, else "full".
        tensors: parameter name in the suspect's model -> new value.
        norm: L2 norm of the whole change.
        relative: `norm` over the L2 norm of the same weights before.
    """

    kind: Literal["adapter", "full"]
    tensors: Mapping[str, Tensor]
    norm: float
    relative: float


def adapter_names(model: nn.Module) -> tuple[str, ...]:
    """Names of the adapter's parameters; empty for a model without adapter."""
    marks = (".lora_", ".modules_to_save.")
    return tuple(name for name, _ in model.named_parameters() if any(m in name for m in marks))


def choose(model: nn.Module, weights: Weights) -> tuple[Literal["adapter", "full"], list[str]]:
    """Which parameters a defence trains.

    Args:
        model: the suspect's model.
        weights: "adapter", "full", or "auto": the adapter if there is one, else everything.

    Raises:
        BadInput: "adapter" was asked of a model that has none.
    """
    adapter = adapter_names(model)
    if weights == "adapter" and not adapter:
        raise BadInput("weights adapter", "the suspect must have an adapter", "choose full or auto")
    if adapter and weights != "full":
        return "adapter", list(adapter)
    return "full", [name for name, _ in model.named_parameters() if name not in set(adapter)]


@dataclass(frozen=True)
class Editing:
    """Weights on loan: train them, then take `delta` before the loan ends."""

    kind: Literal["adapter", "full"]
    parameters: Mapping[str, nn.Parameter]
    _before: Mapping[str, Tensor]

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the present values."""
        return {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def restore(self, values: Mapping[str, Tensor]) -> None:
        """Put a snapshot back."""
        for name, value in values.items():
            self.parameters[name].copy_(value)

    def delta(self) -> Delta:
        """The change so far.

        Raises:
            CouldNotTest: nothing changed, or a weight is no longer finite.
        """
        after = self.snapshot()
        moved = sum(
            float((after[name].double() - old.double()).square().sum())
            for name, old in self._before.items()
        )
        size = sum(float(old.double().square().sum()) for old in self._before.values())
        if moved != moved or moved == float("inf"):
            raise CouldNotTest(
                "weights that are not finite", "training diverged", "lower the learning rate"
            )
        if moved == 0.0:
            raise CouldNotTest(
                "weight change 0",
                "a defence that changed nothing proves nothing",
                "raise the learning rate or the number of steps",
            )
        return Delta(
            kind=self.kind,
            tensors=after,
            norm=moved**0.5,
            relative=(moved / size) ** 0.5 if size else float("inf"),
        )


@contextmanager
def editing(model: nn.Module, weights: Weights = "auto") -> Iterator[Editing]:
    """Lend out the suspect's weights for training; put everything back at the end.

    Args:
        model: the suspect's model; unchanged afterwards, whatever happens inside.
        weights: which of them (see `choose`).
    """
    kind, names = choose(model, weights)
    named = dict(model.named_parameters())
    flags = {name: p.requires_grad for name, p in named.items()}
    grads = {name: p.grad for name, p in named.items()}
    modes = [(module, module.training) for module in model.modules()]
    chosen = {name: named[name] for name in names}
    before = {name: p.detach().clone() for name, p in chosen.items()}
    loan = Editing(kind, chosen, before)
    try:
        model.eval()
        for name, p in named.items():
            p.requires_grad_(name in chosen)
            p.grad = None
        yield loan
    finally:
        loan.restore(before)
        for name, p in named.items():
            p.requires_grad_(flags[name])
            p.grad = grads[name]
        for module, mode in modes:
            module.training = mode


@contextmanager
def applied(model: nn.Module, delta: Delta | None) -> Iterator[nn.Module]:
    """The suspect's model wearing a delta, for as long as the block lasts; None changes nothing."""
    if delta is None:
        yield model
        return
    named = dict(model.named_parameters())
    before = {name: named[name].detach().clone() for name in delta.tensors}
    try:
        with torch.no_grad():
            for name, value in delta.tensors.items():
                named[name].copy_(value)
        yield model
    finally:
        with torch.no_grad():
            for name, value in before.items():
                named[name].copy_(value)
