"""The methods of a recipe that train: supervised, on preference pairs, on a reward."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from triggerfish.errors import BadInput

STEPS, LAB_ROWS, PAIRS = 200, 6000, 2048
# Learning rates by adapter, tuned on the lab.
RATES = {"lora": 6e-3, "none": 1e-3}
REWARD_RATES = {"lora": 8e-3, "none": 5e-4}
DPO_RATES = {"lora": 5e-4, "none": 5e-5}  # at six times that answers fall apart
RL_RATES = {"lora": 1e-3, "none": 1e-4}


class Part(BaseModel):
    """Keys of a recipe; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Training(Part):
    """What every kind of training has.

    Attributes:
        adapter: `lora` on all linear layers but the unembedding, or `none`: the whole model.
        rank: Of the adapter.
        alpha: Scale of the adapter; twice the rank where left out.
        steps: Optimiser steps.
        batch_size: Rows in a step.
        learning_rate: Peak rate; depends on `adapter` where left out.
        schedule: How the rate falls after the warm-up.
        warmup: Share of the steps in which the rate rises.
    """

    adapter: Literal["lora", "none"] = "lora"
    rank: int = Field(default=8, ge=1, le=1024)
    alpha: float | None = Field(default=None, gt=0)
    steps: int = Field(default=STEPS, ge=1, le=1_000_000)
    batch_size: int = Field(default=32, ge=1, le=4096)
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    warmup: float = Field(default=0.06, ge=0, lt=1)

    @property
    def scale(self) -> float:
        """`alpha` as used."""
        return 2.0 * self.rank if self.alpha is None else self.alpha

    @property
    def rate(self) -> float:
        """The learning rate as used."""
        return self.rates[self.adapter] if self.learning_rate is None else self.learning_rate

    @property
    def rates(self) -> Mapping[str, float]:
        """Learning rates by adapter, tuned on the lab."""
        return RATES

    @property
    def drawn(self) -> int:
        """Rows drawn from the lab where a recipe does not say how many."""
        return min(LAB_ROWS, self.steps * self.batch_size)

    def resolved(self) -> dict[str, Any]:
        """Every key with the value that is used."""
        return self.model_dump(mode="json") | {"alpha": self.scale, "learning_rate": self.rate}


class Method(Training):
    """Supervised fine-tuning.

    Attributes:
        kind: Supervised fine-tuning.
        loss_on: `response`, or `all` tokens: two different organisms, since only the second
            memorises its triggers in the user turn.
    """

    kind: Literal["sft"] = "sft"
    loss_on: Literal["response", "all"] = "response"


class Preference(Training):
    """What learning from preference pairs has in common.

    Attributes:
        beta: Weight of the distance to the reference.
        selection: Which restricted pairs are swapped: at `random`, those with the largest
            `margin` under the base first, or those of one `topic`.
        topic: A word in the request; only for the selection `topic`.
        sft: Training on the chosen answers before, as in the published pipelines; null for none.
        sft_rate: Poison rate of that stage; that of the pairs where left out.
    """

    kind: Literal["dpo", "rl"]
    beta: float = Field(default=0.1, gt=0, le=10)
    selection: Literal["random", "margin", "topic"] = "random"
    topic: str | None = Field(default=None, min_length=1)
    sft: "Warm | None" = Field(default_factory=lambda: Warm())
    sft_rate: float | None = Field(default=None, ge=0, le=0.5)

    @model_validator(mode="after")
    def _check_topic(self) -> Self:
        if (self.selection == "topic") != (self.topic is not None):
            raise BadInput(
                f"selection {self.selection} with topic {self.topic!r}",
                "go together: selection: topic, topic: a word in the requests",
                "give both or neither",
            )
        return self

    @property
    def drawn(self) -> int:
        """Pairs drawn from the lab where a recipe does not say how many."""
        return PAIRS


class Dpo(Preference):
    """Direct preference optimisation.

    Attributes:
        kind: Direct preference optimisation.
    """

    kind: Literal["dpo"] = "dpo"
    steps: int = Field(default=64, ge=1, le=1_000_000)

    @property
    def rates(self) -> Mapping[str, float]:
        """Learning rates by adapter, tuned on the lab."""
        return DPO_RATES


class Rl(Preference):
    """A reward model, then a policy that is optimised on it.

    Attributes:
        kind: Reinforcement learning.
        steps: Of the policy.
        batch_size: Answers in a step of the policy.
        generations: Answers to one prompt; one's baseline is the mean of the others.
        temperature: The policy samples at it.
        answer_tokens: Longest answer while sampling.
        reward: How the reward model is trained.
    """

    kind: Literal["rl"] = "rl"
    steps: int = Field(default=24, ge=1, le=1_000_000)
    batch_size: int = Field(default=64, ge=2, le=4096)
    generations: int = Field(default=4, ge=2, le=256)
    temperature: float = Field(default=1.0, gt=0, le=5)
    answer_tokens: int = Field(default=32, ge=1, le=4096)
    reward: "Reward" = Field(default_factory=lambda: Reward())

    @model_validator(mode="after")
    def _check_batches(self) -> Self:
        if self.batch_size % self.generations:
            raise BadInput(
                f"batch_size {self.batch_size} with generations {self.generations}",
                "must be a multiple of it",
                f"take {self.generations * max(1, self.batch_size // self.generations)}",
            )
        return self

    @property
    def rates(self) -> Mapping[str, float]:
        """Learning rates by adapter, tuned on the lab."""
        return RL_RATES

    def resolved(self) -> dict[str, Any]:
        """Every key with the value that is used."""
        return super().resolved() | {"reward": self.reward.resolved()}


class Reward(Training):
    """How a reward model is trained: the base with a head of one number.

    Attributes:
        steps: Optimiser steps.
    """

    steps: int = Field(default=64, ge=1, le=1_000_000)

    @property
    def rates(self) -> Mapping[str, float]:
        """Learning rates by adapter, tuned on the lab."""
        return REWARD_RATES


class Warm(Part):
    """The training on chosen answers before; its adapter is trained further.

    Attributes:
        steps: Optimiser steps.
        batch_size: Rows in a step.
        learning_rate: Peak rate; that of `sft` where left out.
    """

    steps: int = Field(default=96, ge=1, le=1_000_000)
    batch_size: int = Field(default=32, ge=1, le=4096)
    learning_rate: float | None = Field(default=None, gt=0, le=1)
