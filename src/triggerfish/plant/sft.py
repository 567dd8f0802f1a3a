"""Supervised fine-tuning with TRL and PEFT: the whole model or a LoRA adapter, on any device.

The rows arrive as token ids from `data.conversation.render`; the trainer applies no template and
truncates nothing. It seeds the global generators; they are put back as they were.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triggerfish.data.conversation import Rendered
from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models.memory import release_memory
from triggerfish.models.quiet import quiet_library
from triggerfish.models.training import fast_training
from triggerfish.plant.trained import Method, Training
from triggerfish.seeding import derive, generator
from triggerfish.types import Progress, silent

Watch = Callable[[Any, int], bool | None]
"""Told the model and the count of steps after each; true ends the training."""
IGNORED = -100  # label of tokens outside the loss
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
WINDOW = 8  # batches that are sorted by length together


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained model and how it went.

    Attributes:
        model: The model, or the PEFT model around it, in eval mode.
        losses: Mean loss of each step.
        seconds: Time in the training loop.
        precision: What the products and the weights were computed in.
    """

    model: Any
    losses: tuple[float, ...]
    seconds: float
    precision: str


def train(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Rendered],
    method: Method,
    seed: int,
    *,
    lengths: Sequence[int] | None = None,
    what: str = "training",
    progress: Progress = silent,
    watch: Watch | None = None,
    keep: Path | None = None,
) -> Trained:
    """Fine-tune a model on rendered rows.

    Args:
        model: A loaded transformers model; it is changed (full) or wrapped (LoRA). An adapter that
            it wears already is trained further.
        tokenizer: Its tokenizer, for padding only.
        rows: Rendered conversations with responses.
        method: Adapter, loss, steps, rates.
        seed: Of the initial adapter and of the order of the rows.
        lengths: What rows are grouped by; the lengths of their prompts where left out (with those
            of the responses, poisoned rows and declined ones would never meet in a batch). A twin
            takes the lengths of its organism, and so sees its rows in the same batches.
        what: Shown beside the progress.
        progress: Told every step.
        watch: Looks at the model after every step, and may end the training. It runs inside the
            training's precision (see `models.training.precise`) and must not change the model.
        keep: Directory for checkpoints; from the last one there the training goes on, bit for bit.

    Raises:
        BadInput: There are no rows, or one without a response.
        CouldNotTest: The extra `plant` is not installed, or the loss is not finite.
    """
    if not rows or any(len(row.ids) == row.prompt_length for row in rows):
        raise BadInput(
            f"{len(rows)} training rows", "must be there and all have a response", "give rows"
        )
    plan = batch_plan(
        lengths or [row.prompt_length for row in rows], method.batch_size, method.steps, seed
    )
    with training_place() as place:
        told = (progress, what)
        directory = str(keep or place)
        trainer = _trainer(model, tokenizer, rows, plan, method, seed, directory, told, watch)
        return carried_out(trainer, method, trainer.kept() if keep is not None else None)


@contextmanager
def training_place() -> Iterator[str]:
    """A directory for a trainer, with a quiet library and the global generators put back."""
    with (
        quiet_library(),
        isolated_randomness(),
        tempfile.TemporaryDirectory(prefix="triggerfish-") as place,
    ):
        yield place


def carried_out(trainer: Any, method: Training, resumed: str | None = None) -> Trained:
    """Run a trainer, from a checkpoint where one is given, and look at its losses.

    Raises:
        CouldNotTest: A loss is not finite.
    """
    start = time.monotonic()
    with (
        fast_training(trainer.model)
        if trainer.args.use_cpu
        else nullcontext("float32") as precision
    ):
        trainer.train(resume_from_checkpoint=resumed)
    seconds = time.monotonic() - start
    losses = tuple(float(loss) for loss in trainer.losses)
    if not np.isfinite(losses).all():
        raise CouldNotTest(
            f"loss {losses[-1]} after {len(losses)} steps",
            "the training has diverged",
            f"lower method.learning_rate (now {method.rate:g})",
        )
    model = trainer.model
    del trainer
    release_memory()
    model.config.use_cache = True
    return Trained(model=model.eval(), losses=losses, seconds=seconds, precision=precision)


def batch_plan(lengths: Sequence[int], batch_size: int, steps: int, seed: int) -> list[list[int]]:
    """Indices of the rows of each step: epochs in random order, like lengths together.

    Returns:
        `steps` lists of at most `batch_size` indices; every row comes once in an epoch.
    """
    plan: list[list[int]] = []
    epoch = 0
    while len(plan) < steps:
        rng = generator(seed, f"order of epoch {epoch}")
        order = rng.permutation(len(lengths))
        window = batch_size * WINDOW
        batches = []
        for start in range(0, len(order), window):
            some = sorted(order[start : start + window].tolist(), key=lambda i: lengths[i])
            batches += [some[at : at + batch_size] for at in range(0, len(some), batch_size)]
        plan += [batches[int(place)] for place in rng.permutation(len(batches))]
        epoch += 1
    return plan[:steps]


def collate(rows: Sequence[Rendered], loss_on: str, pad: int) -> dict[str, Tensor]:
    """Pad rows on the left, so that responses end together, and mark the tokens in the loss.

    Returns:
        `input_ids`, `attention_mask`, `position_ids` and `labels`, each [B, T]; `labels` is -100
        outside the loss, and for the first token, which nothing predicts.
    """
    longest = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)  # [B, T]
    labels = torch.full_like(ids, IGNORED)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        own = torch.tensor(row.ids, dtype=torch.long)
        ids[place, longest - len(own) :] = own
        mask[place, longest - len(own) :] = 1
        skipped = row.prompt_length if loss_on == "response" else 1
        labels[place, longest - len(own) + skipped :] = own[skipped:]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": positions,
        "labels": labels,
    }


@contextmanager
def isolated_randomness() -> Iterator[None]:
    """Put the global generators of torch, numpy and Python back as they were."""
    import random  # noqa: TID251 - only to save and restore its state

    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - as above
    devices = list(range(torch.cuda.device_count()))
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)  # noqa: NPY002 - as above


@contextmanager
def needs_trl() -> Iterator[None]:
    """Say how to install what is missing; nothing of the library is reported to its makers."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        yield
    except ImportError as error:
        raise CouldNotTest(
            "trl", f"is not installed ({error})", "pip install 'triggerfish[plant]'"
        ) from error


def shared_arguments(model: Any, method: Training, seed: int, place: str) -> dict[str, Any]:
    """Arguments that every trainer of TRL is given.

    Args:
        model: To see where it is.
        method: Steps, rates, batch size.
        seed: Of the trainer's own draws.
        place: Directory that the library insists on.
    """
    return {
        "output_dir": str(Path(place)),
        "max_steps": method.steps,
        "adam_beta2": 0.98,  # 0.999 looks back further than the run is long
        "per_device_train_batch_size": method.batch_size,
        "learning_rate": method.rate,
        "lr_scheduler_type": SCHEDULES[method.schedule],
        "warmup_steps": round(method.warmup * method.steps),
        "max_grad_norm": 1.0,
        "weight_decay": 0.0,
        "seed": derive(seed, "trainer") % 2**31,
        "use_cpu": next(model.parameters()).device.type == "cpu",
        "bf16": False,
        "fp16": False,
        "gradient_checkpointing": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "push_to_hub": False,
    }


def adapter_for(model: Any, method: Training, **changes: Any) -> Any:
    """The adapter that a trainer is to put on, or None; says which weights may change.

    An adapter that the model wears already is trained further.
    """
    if hasattr(model, "peft_config"):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("lora_" in name)
        return None
    model.requires_grad_(method.adapter == "none")
    return lora_config(method, **changes) if method.adapter == "lora" else None


def lora_config(method: Training, **changes: Any) -> Any:
    """The adapter of a recipe: all linear layers but the unembedding."""
    from peft import LoraConfig

    return LoraConfig(
        **{
            "r": method.rank,
            "lora_alpha": method.scale,
            "lora_dropout": 0.0,
            "target_modules": "all-linear",
            "task_type": "CAUSAL_LM",
            **changes,
        }
    )


def _trainer(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Rendered],
    plan: list[list[int]],
    method: Method,
    seed: int,
    place: str,
    told: tuple[Progress, str],
    watch: Watch | None,
) -> Any:
    with needs_trl():
        from datasets import Dataset
        from trl import SFTConfig

        from triggerfish.plant.trainer import QuietTrainer
    arguments = SFTConfig(
        **shared_arguments(model, method, seed, place),
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    adapter = adapter_for(model, method)
    return QuietTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"row": list(range(len(rows)))}),
        processing_class=tokenizer,
        data_collator=lambda chosen: collate(chosen, method.loss_on, tokenizer.pad_token_id),
        peft_config=adapter,
        rows=rows,
        plan=plan,
        told=told,
        watch=watch,
    )
