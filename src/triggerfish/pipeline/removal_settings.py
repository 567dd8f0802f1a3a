"""What a user asks of a removal, and the method's settings that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from triggerfish.errors import BadInput
from triggerfish.remove.beear import BeearConfig
from triggerfish.remove.clean_finetune import CleanConfig
from triggerfish.remove.defence import DEFENCES
from triggerfish.remove.delta import Weights, choose
from triggerfish.remove.policy import Scope
from triggerfish.remove.train import RATES


@dataclass(frozen=True, kw_only=True)
class RemovalSettings:
    """What to do.

    Attributes:
        method: a registered defence.
        specification: the unwanted opener; proposed from the model's own answers where None.
        scope: which prompts the defence works on (see `policy_sets`).
        layer: BEEAR's l; None is 9/32 of the depth.
        steps: optimiser steps; None is the method's own.
        rate: learning rate of the method, its controls and the re-activation; None is that of
            the weights that are trained.
        weights: which weights are trained.
        n: attacked prompts.
        per_skill: utility prompts of each skill.
        samples: k of the re-activation test.
        seed: of every draw.
    """

    method: str = "beear"
    specification: str | None = None
    scope: Scope = "auto"
    layer: int | None = None
    steps: int | None = None
    rate: float | None = None
    weights: Weights = "auto"
    n: int = 300
    per_skill: int = 200
    samples: tuple[int, ...] = (10,)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        DEFENCES.get(self.method)
        if min(self.n, self.per_skill) < 1:
            raise BadInput(
                f"n {self.n}, per skill {self.per_skill}",
                "a rate needs at least one prompt",
                "use 200 or more",
            )
        if self.steps is not None and self.steps < 1:
            raise BadInput(f"steps {self.steps}", "a defence needs at least one", "use 1 or more")


def with_rate(settings: RemovalSettings, model: Any) -> RemovalSettings:
    """The settings with the learning rate that fits the weights to be trained."""
    kind, _ = choose(model, settings.weights)
    return replace(settings, rate=settings.rate or RATES[kind])


def method_config(settings: RemovalSettings, noise: float) -> Any:
    """The method's settings, with what the user asked for."""
    if settings.method == "beear":
        config = BeearConfig(layer=settings.layer, weights=settings.weights)
        budget = config.budget
        if settings.rate is not None:
            budget = replace(budget, rate=settings.rate)
        epochs = config.epochs
        if settings.steps is not None:
            budget = replace(budget, steps=min(budget.steps, settings.steps))
            epochs = max(1, settings.steps // budget.steps)
        return replace(config, budget=budget, epochs=epochs)
    plain = CleanConfig(noise=noise, weights=settings.weights)
    return replace(
        plain,
        budget=replace(
            plain.budget,
            steps=settings.steps or plain.budget.steps,
            rate=settings.rate or plain.budget.rate,
        ),
    )
