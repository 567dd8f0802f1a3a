"""TRL's trainers for preferences, with planned batches and without telemetry; see `trainer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trl import DPOTrainer, RewardTrainer, RLOOTrainer

from triggerfish.plant.trainer import Planned


class _Recorded(Planned):
    """Keeps the loss of each step."""

    def compute_loss(self, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
        """The library's loss."""
        loss = super().compute_loss(model, inputs, *rest, **named)  # type: ignore[misc]
        self.losses.append((loss[0] if isinstance(loss, tuple) else loss).detach())
        return loss


class QuietRewardTrainer(_Recorded, RewardTrainer):  # type: ignore[misc]
    """`RewardTrainer` with planned batches."""


class QuietDPOTrainer(_Recorded, DPOTrainer):  # type: ignore[misc]
    """`DPOTrainer` with planned batches."""


class QuietRLOOTrainer(_Recorded, RLOOTrainer):  # type: ignore[misc]
    """`RLOOTrainer` whose prompts are token ids, and which samples with a loop that is given.

    Args:
        sample: From prompts to sampled answers, each with the token that ended it.
        arguments: As of `Planned` and `RLOOTrainer`; the rows are prompts, each step's plan names
            every prompt once for each of its answers.
    """

    def __init__(
        self, *, sample: Callable[[Any, Sequence[Sequence[int]]], list[list[int]]], **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.sample = sample

    def _tokenize_prompts(self, prompts: list[list[int]]) -> Any:
        """They are token ids."""
        return prompts, None, {}

    def _generate_single_turn(self, prompt_ids: Any, *_: Any) -> list[list[int]]:
        """Our own loop: the library's generation takes most of a step."""
        return self.sample(self.model, prompt_ids)
