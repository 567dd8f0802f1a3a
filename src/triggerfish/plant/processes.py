"""Several processes that train one model, as `accelerate launch` or `torchrun` start them.

Each takes its share of every batch; gradients are summed. Sums are taken in another order than in
one process, so that the result is the same but for rounding, not bit for bit.
"""

import os
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Which of how many processes this is.

    Attributes:
        rank: From 0; the first measures and writes.
        local: Rank on its machine, which is that of its GPU.
        count: Of all processes.
    """

    rank: int = 0
    local: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process measures and writes."""
        return self.rank == 0

    def share(self, batch: list[int]) -> list[int]:
        """This process's rows of a batch; where there are fewer rows than processes, the first."""
        return batch[self.rank :: self.count] or batch[:1]

    def device(self, asked: str) -> str:
        """The device that was asked for; of several GPUs, this process's own."""
        if asked != "auto" or self.count == 1:
            return asked
        import torch

        return f"cuda:{self.local}" if torch.cuda.is_available() else "cpu"


def processes() -> Processes:
    """What the launcher has said in the environment."""
    found = {name: os.environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    if not all(value.isdecimal() for value in found.values()):
        return Processes()
    rank, local, count = map(int, found.values())
    return Processes(rank=rank, local=local, count=count)
