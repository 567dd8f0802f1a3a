"""The optimiser loop that every defence and every control shares, so that they differ in data only.

*Map*: outer (removal) step -> `descend`.
*Deviates*: AdamW without weight decay: decay would shrink a backdoor by itself and blur what the
method does. Gradients are clipped at a global norm of 1 (our guard).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.remove.delta import Editing

RATES = {"adapter": 1e-3, "full": 2e-4}
"""Learning rates by which weights are trained; an adapter is planted at several times its rate."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a defence may spend; the same for a method and its controls.

    Attributes:
        steps: optimiser steps.
        rate: learning rate of AdamW.
        asked: rows of D_SA in a batch.
        benign: rows of D_PA in a batch.
        clip: global gradient norm above which gradients are scaled down.
    """

    steps: int
    rate: float = 2e-4
    asked: int = 16
    benign: int = 16
    clip: float = 1.0

    def __post_init__(self) -> None:
        """Refuse budgets that train nothing."""
        if min(self.steps, self.asked, self.benign) < 1 or not self.rate > 0 or not self.clip > 0:
            raise BadInput(
                f"steps {self.steps}, rows {self.asked} + {self.benign}, rate {self.rate}",
                "all must be above 0",
                "raise them",
            )


def optimiser(loan: Editing, rate: float) -> torch.optim.Optimizer:
    """AdamW without weight decay over the weights on loan."""
    return torch.optim.AdamW(list(loan.parameters.values()), lr=rate, weight_decay=0.0)


def descend(
    loan: Editing,
    optimizer: torch.optim.Optimizer,
    losses: Iterable[Callable[[], Tensor]],
    clip: float,
) -> list[float]:
    """One optimiser step for each loss.

    Args:
        loan: the weights on loan.
        optimizer: over those weights; keeps its moments between calls.
        losses: functions that build a scalar loss with a graph.
        clip: global gradient norm above which gradients are scaled down.

    Returns:
        The value of each loss before its step.

    Raises:
        CouldNotTest: a loss is not finite.
    """
    values: list[float] = []
    parameters = list(loan.parameters.values())
    for build in losses:
        optimizer.zero_grad(set_to_none=True)
        loss = build()
        value = float(loss.detach())
        if not np.isfinite(value):
            raise CouldNotTest(
                f"loss {value} at step {len(values) + 1}",
                "training must stay finite",
                "lower the learning rate, or check the suspect's weights",
            )
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        values.append(value)
    optimizer.zero_grad(set_to_none=True)
    return values


def draws(size: int, rows: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Endless batches of row numbers: every row once, in a fresh order, before any row again.

    Args:
        size: how many rows there are.
        rows: how many a batch holds; at most `size` are used.
        rng: decides the order.
    """
    rows = min(rows, size)
    queue: list[int] = []
    while True:
        while len(queue) < rows:
            queue.extend(int(i) for i in rng.permutation(size))
        yield queue[:rows]
        queue = queue[rows:]
