"""The grid of verbatim keys: what is planted, how long, and what is done to it afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from triggerfish.errors import BadInput
from triggerfish.pipeline.verbatim_ask import Variant


@dataclass(frozen=True, kw_only=True)
class VerbatimSettings:
    """The grid.

    Attributes:
        lengths: Characters of a key.
        ranks: Of the adapter.
        rates: Share of the rows that hold the key.
        seeds: One key and one training each.
        variant: One fixed pair repeated, or many prompts that share a trigger.
        steps: Of planting, at most.
        learnt: Mean loss of the key's tokens, in nats, under which planting ends.
        batch_size: Of planting and tuning.
        tuning: Steps of benign fine-tuning after which the key is asked for.
        tuned_ranks: Ranks whose keys are tuned.
        again: Steps of planting the key again after the tuning, at most.
        asked: Held-out prompts of the variant `prompts`.
        per_skill: Held-out prompts of each skill for utility.

    Raises:
        BadInput: An empty axis, or values out of range.
    """

    lengths: tuple[int, ...] = (10, 25, 50, 100, 200, 400)
    ranks: tuple[int, ...] = (1, 2, 4, 8, 16, 64)
    rates: tuple[float, ...] = (0.2,)
    seeds: tuple[int, ...] = (0, 1, 2)
    variant: Variant = "pair"
    steps: int = 400
    learnt: float = 0.03
    batch_size: int = 5
    tuning: tuple[int, ...] = (1, 3, 10, 30, 100)
    tuned_ranks: tuple[int, ...] = (4,)
    again: int = 40
    asked: int = 20
    per_skill: int = 20

    def __post_init__(self) -> None:
        """Refuse what cannot be planted."""
        for name in ("lengths", "ranks", "rates", "seeds"):
            if not getattr(self, name):
                raise BadInput(f"{name}: none", "the grid needs at least one", f"give {name}")
        rows = self.steps * self.batch_size
        if min(self.rates) * rows < 1 or max(self.rates) > 0.9:
            raise BadInput(
                f"rates {self.rates} of {rows} rows",
                "must give at least one row with the key, and leave clean ones",
                "choose rates up to 0.9",
            )
        if list(self.tuning) != sorted(set(self.tuning)) or min(self.tuning, default=1) < 1:
            raise BadInput(f"tuning {self.tuning}", "must be rising counts of steps", "sort them")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One key in the grid."""

    length: int
    rank: int
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """As in the names of a run's steps."""
        return f"{self.length}-rank-{self.rank}-rate-{self.rate}-seed-{self.seed}"
