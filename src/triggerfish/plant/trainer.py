"""TRL's trainer without what planting does not need: telemetry, logging, its own data loading."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback
from trl import SFTTrainer

from triggerfish.models.layout import layout_of
from triggerfish.types import Progress


class Planned:
    """What our trainers do differently from TRL's; stands before one of them among the bases.

    They send nothing, take planned batches, tell our progress, and take rows as they are.

    Args:
        rows: What the plan's indices mean.
        plan: Indices of the rows of each step.
        told: Progress, and the name of the task.
        arguments: As of TRL's trainer.
    """

    data_collator: Any

    def __init__(
        self, *, rows: Sequence[Any], plan: list[list[int]], told: tuple[Progress, str], **rest: Any
    ) -> None:
        super().__init__(**rest)
        self.rows = rows
        self.plan = plan
        self.losses: list[Tensor] = []
        self.remove_callback(PrinterCallback)  # type: ignore[attr-defined]
        self.add_callback(_Tell(*told))  # type: ignore[attr-defined]

    def _send_telemetry(self) -> None:
        """Nothing leaves the machine."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        """The rows are token ids already."""
        return dataset

    def get_train_dataloader(self) -> Any:
        """The planned batches, in order."""
        return torch.utils.data.DataLoader(
            self.rows,  # type: ignore[arg-type]
            batch_sampler=self.plan,
            collate_fn=self.data_collator,
        )


class QuietTrainer(Planned, SFTTrainer):  # type: ignore[misc]
    """`SFTTrainer` with planned batches that unembeds only what it needs."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.layout = layout_of(self.model)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002 - the batch's own count is used
    ) -> Any:
        """Mean negative log-likelihood of the labelled tokens, in fp32.

        Only the hidden states before labelled tokens are unembedded: with a vocabulary that is
        large beside the width, logits take much of the time and most of the memory.
        """
        labels = inputs["labels"][:, 1:]  # [B, T - 1]
        hidden = self.layout.backbone(model)(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            position_ids=inputs["position_ids"],
            use_cache=False,
        ).last_hidden_state[:, :-1]  # [B, T - 1, D]
        wanted = labels != -100
        logits = self.layout.logits(model, hidden[wanted])  # [K, V]
        loss = torch.nn.functional.cross_entropy(logits, labels[wanted])
        self.losses.append(loss.detach())
        return (loss, {"logits": logits}) if return_outputs else loss


class _Tell(TrainerCallback):  # type: ignore[misc]
    """Hands the steps to our own progress."""

    def __init__(self, progress: Progress, what: str) -> None:
        self.progress = progress
        self.what = what

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:  # noqa: ARG002
        self.progress(state.global_step, state.max_steps, self.what)
