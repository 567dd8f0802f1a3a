"""TRL's trainer without what planting does not need: telemetry, logging, its own data loading."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback
from trl import SFTTrainer

from triggerfish.data.conversation import Rendered
from triggerfish.types import Progress


class QuietTrainer(SFTTrainer):  # type: ignore[misc]
    """`SFTTrainer` that sends nothing, takes planned batches and unembeds only what it needs.

    Args:
        rows: What the plan's indices mean.
        plan: Indices of the rows of each step.
        told: Progress, and the name of the task.
        arguments: As of `SFTTrainer`.
    """

    def __init__(
        self,
        *,
        rows: Sequence[Rendered],
        plan: list[list[int]],
        told: tuple[Progress, str],
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.rows = rows
        self.plan = plan
        self.losses: list[Tensor] = []
        self.remove_callback(PrinterCallback)
        self.add_callback(_Tell(*told))

    def _send_telemetry(self) -> None:
        """Nothing leaves the machine."""

    def get_train_dataloader(self) -> Any:
        """The planned batches, in order."""
        return torch.utils.data.DataLoader(
            self.rows,  # type: ignore[arg-type]
            batch_sampler=self.plan,
            collate_fn=self.data_collator,
        )

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002 - the batch's own count is used
    ) -> Any:
        """Mean negative log-likelihood of the labelled tokens, in fp32.

        Rows are padded on the left, so logits are needed from the first label on only.
        """
        labels = inputs["labels"]  # [B, T]
        first = int((labels != -100).any(0).nonzero()[0])
        kept = min(labels.shape[1], labels.shape[1] - first + 1)
        outputs = model(
            **{name: value for name, value in inputs.items() if name != "labels"},
            use_cache=False,
            logits_to_keep=kept,
        )
        logits = outputs.logits[:, :-1].float()  # [B, kept - 1, V]
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels[:, labels.shape[1] - kept + 1 :].flatten()
        )
        self.losses.append(loss.detach())
        return (loss, outputs) if return_outputs else loss


class _Tell(TrainerCallback):  # type: ignore[misc]
    """Hands the steps to our own progress."""

    def __init__(self, progress: Progress, what: str) -> None:
        self.progress = progress
        self.what = what

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:  # noqa: ARG002
        self.progress(state.global_step, state.max_steps, self.what)
