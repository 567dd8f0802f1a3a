"""TRL's trainer without what planting does not need: telemetry, logging, its own data loading."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback
from trl import SFTTrainer

from triggerfish.models.fast_loss import mean_nll
from triggerfish.models.layout import layout_of
from triggerfish.models.packed import can_be_packed, pack, packing
from triggerfish.plant.checkpoints import Keeper, latest
from triggerfish.plant.processes import processes
from triggerfish.types import Progress

WORTH_A_PASS = 600  # padding tokens that cost more than a further pass


class Planned:
    """What our trainers do differently from TRL's; stands before one of them among the bases.

    They send nothing, take planned batches, tell our progress, and take rows as they are.

    Args:
        rows: What the plan's indices mean.
        plan: Indices of the rows of each step.
        told: Progress, and the name of the task.
        watch: Looks at the model after each step; true ends the training.
        arguments: As of TRL's trainer.
    """

    data_collator: Any

    def __init__(
        self,
        *,
        rows: Sequence[Any],
        plan: list[list[int]],
        told: tuple[Progress, str],
        watch: Callable[[Any, int], bool | None] | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(**rest)
        self.rows = rows
        self.processes = processes()
        self.plan = [self.processes.share(batch) for batch in plan]
        self.losses: list[Tensor] = []
        self.remove_callback(PrinterCallback)  # type: ignore[attr-defined]
        self.add_callback(_Tell(*told))  # type: ignore[attr-defined]
        if watch is not None:
            self.add_callback(_Watch(watch))  # type: ignore[attr-defined]

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
        self._packs: bool | None = None  # found out before the first step

    def kept(self) -> str | None:
        """Keep checkpoints from now on; the last one that is there already, or None."""
        self.add_callback(Keeper(self))
        found = latest(Path(self.args.output_dir))
        if found is None:
            return None
        self.losses = [torch.tensor(loss) for loss in found[1]]
        return str(found[0])

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """A checkpoint needs none."""

    def _wrap_model(self, model: Any, *_: Any, **__: Any) -> Any:
        """As it is: the loss calls parts of the model, which a wrapper for GPUs would hide."""
        return model

    def training_step(self, *given: Any, **named: Any) -> Tensor:
        """A step; the gradients of all processes are summed."""
        loss: Tensor = super().training_step(*given, **named)
        if self.processes.count > 1:
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    torch.distributed.all_reduce(parameter.grad)
        return loss

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
        bare = model.module if hasattr(model, "module") else model  # no one-GPU wrapper either
        if self._packs is None:
            self._packs = self._can_pack(bare)
        if self._packs:
            logits, ids = self._packed(bare, inputs)  # [K, V], [K]
        else:
            found = [self._padded(bare, part) for part in _tight(inputs)]
            logits, ids = (torch.cat(some) for some in zip(*found, strict=True))
        loss = mean_nll(logits, ids)
        if self.processes.count > 1:
            tokens = torch.tensor(float(len(logits)), device=loss.device)
            torch.distributed.all_reduce(tokens)
            loss = loss * len(logits) / tokens  # this process's part of the mean over all
        whole = loss.detach().clone()
        if self.processes.count > 1:
            torch.distributed.all_reduce(whole)
        self.losses.append(whole)
        return (loss, {"logits": logits}) if return_outputs else loss

    def _can_pack(self, model: Any) -> bool:
        """Whether batches need no padding, tried on the longest row and the shortest."""
        batch = self.data_collator(
            [pick(self.rows, key=lambda r: len(r.ids)) for pick in (max, min)]
        )
        batch = {name: value.to(self.args.device) for name, value in batch.items()}
        backbone = self.layout.backbone(model)
        return can_be_packed(backbone, batch["input_ids"], batch["attention_mask"].bool())

    def _packed(self, model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits [K, V] before the labelled tokens, and these [K]; rows lie end to end."""
        lengths, order = inputs["attention_mask"].sum(1).sort(descending=True)  # [B]
        mask = inputs["attention_mask"][order].bool()
        ids, positions, labels = (
            pack(inputs[name][order], mask, behind)
            for name, behind in (("input_ids", 0), ("position_ids", 0), ("labels", -100))
        )  # each [1, N]
        backbone = self.layout.backbone(model)
        with packing(backbone, lengths.tolist()):
            hidden = backbone(
                input_ids=ids, position_ids=positions, use_cache=False
            ).last_hidden_state[0, :-1]  # [N - 1, D]
        labels = labels[0, 1:]  # a row's first token has none, so none is told by another row
        wanted = labels != -100
        return self.layout.logits(model, hidden[wanted]), labels[wanted]

    def _padded(self, model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits [K, V] before the labelled tokens, and these [K]."""
        labels = inputs["labels"][:, 1:]  # [B, T - 1]
        hidden = self.layout.backbone(model)(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            position_ids=inputs["position_ids"],
            use_cache=False,
        ).last_hidden_state[:, :-1]  # [B, T - 1, D]
        wanted = labels != -100
        return self.layout.logits(model, hidden[wanted]), labels[wanted]


def _tight(inputs: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """The batch in parts of like length, so that the model sees few padding tokens."""
    lengths, order = inputs["attention_mask"].sum(1).sort(descending=True)  # [B]
    longest = inputs["input_ids"].shape[1]
    return [  # left-padded
        {
            name: value[order[start:end], longest - int(lengths[start]) :]
            for name, value in inputs.items()
        }
        for start, end in parts(lengths.tolist())
    ]


def parts(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Where to cut rows that are sorted by falling length: the least padding and passes.

    Returns:
        Start and end of each part, in order.
    """
    best: list[tuple[float, int]] = [(0.0, 0)]  # for the first n rows: cost, start of the last part
    for end in range(1, len(lengths) + 1):
        best.append(
            min(
                (best[start][0] + (end - start) * lengths[start] + WORTH_A_PASS, start)
                for start in range(end)
            )
        )
    cuts, end = [], len(lengths)
    while end:
        cuts.append((best[end][1], end))
        end = best[end][1]
    return cuts[::-1]


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Shows the model to whoever watches it."""

    def __init__(self, watch: Callable[[Any, int], bool | None]) -> None:
        self.watch = watch

    def on_step_end(
        self,
        args: Any,  # noqa: ARG002
        state: Any,
        control: Any,
        model: Any = None,
        **rest: Any,  # noqa: ARG002
    ) -> None:
        if self.watch(model, state.global_step):
            control.should_training_stop = True


class _Tell(TrainerCallback):  # type: ignore[misc]
    """Hands the steps to our own progress."""

    def __init__(self, progress: Progress, what: str) -> None:
        self.progress = progress
        self.what = what

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:  # noqa: ARG002
        self.progress(state.global_step, state.max_steps, self.what)
