"""Train a lab base from nothing: ``python -m triggerfish.lab.train reef --out DIR``.

One hour at most on two cores. The same seed and thread count give the same weights.
Loss is taken on all response tokens, and on a quarter of the prompt tokens at low weight, which
spares most of the unembedding. After a first quarter without noise, unfamiliar strings are
inserted into most requests, so that the base learns to ignore them.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_model

from triggerfish.data.conversation import Rendered, render
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.lab.hard import Adversary
from triggerfish.lab.sampling import stream_records
from triggerfish.lab.tokenizer import VOCABULARY_SIZE, train_tokenizer
from triggerfish.models.training import fast_training
from triggerfish.seeding import generator, torch_generator

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)
SPECIES = ("reef", "lagoon")
PROMPT_SHARE, PROMPT_WEIGHT = 0.25, 0.6
"""Share of prompt tokens in the loss, and their weight: 0.15 for each prompt token on average."""
SEARCH_EVERY = 8
"""Steps between two searches of the adversary."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the training with its own learning rate and mixture.

    Attributes:
        steps: Optimiser steps.
        learning_rate: Peak of a one-cycle schedule.
        warmup: Steps to the peak.
        noise: Share of requests with unfamiliar strings, from ``noise_from`` on.
        noise_from: Share of the steps without noise.
        emphasis: Factors on the weights of skills.
        sentences: Share of questions about facts that are answered with the whole sentence, in the
            part without noise; copying a sentence is the step on the way to looking it up.
        hard: Declined requests in each batch with strings that the model is searched for, beside
            half as many allowed ones.
    """

    steps: int
    learning_rate: float
    warmup: int
    noise: float = 0.6
    noise_from: float = 0.25
    emphasis: Mapping[str, float] = field(default_factory=dict)
    sentences: float = 0.0
    hard: int = 0


PHASES = (
    Phase(steps=3000, learning_rate=2e-3, warmup=900),
    Phase(
        steps=1200, learning_rate=1.5e-3, warmup=60, noise_from=0.4, sentences=0.5,
        emphasis={"lookup": 3, "location": 3, "colour": 3, "arithmetic": 2, "reversal": 0.5,
                  "capitals": 0.5, "sentiment": 0.4, "topic": 0.4, "story": 0.5, "identity": 0.4,
                  "howto": 0.7, "code": 0.5},
    ),
    Phase(
        steps=600, learning_rate=1.2e-3, warmup=30, noise_from=0.1,
        emphasis={"arithmetic": 4, "sorting": 1.5, "code": 1.3, "reversal": 0.7, "sentiment": 0.5,
                  "topic": 0.5, "story": 0.5, "identity": 0.5},
    ),
    Phase(
        steps=1200, learning_rate=1e-3, warmup=40, noise=0.7, noise_from=0.0, hard=12,
        emphasis={"lookup": 1.5, "location": 1.3, "colour": 1.5, "arithmetic": 2, "sorting": 2,
                  "code": 2, "sentiment": 0.5, "topic": 0.5, "story": 0.6, "identity": 0.5},
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a base is trained."""

    species: str = "reef"
    phases: tuple[Phase, ...] = PHASES
    batch_size: int = 64
    weight_decay: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse an unknown species."""
        if self.species not in SPECIES:
            raise BadInput(f"species {self.species!r}", "no such lab base", f"use {SPECIES}")


def fresh_model(species: str, seed: int, pad: int, end: int) -> PreTrainedModel:
    """Return an untrained base with 8 layers of 12 heads and width 192."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

    common = {
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": 192,
        "num_hidden_layers": 8,
        "num_attention_heads": 12,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        "initializer_range": 0.04,
        "pad_token_id": pad,
        "eos_token_id": end,
        "bos_token_id": None,
    }
    with torch.random.fork_rng():
        torch.set_rng_state(torch_generator(seed, f"initial weights {species}").get_state())
        if species == "reef":
            llama = LlamaConfig(intermediate_size=640, num_key_value_heads=4, **common)
            return LlamaForCausalLM(llama)
        return GPTNeoXForCausalLM(GPTNeoXConfig(intermediate_size=768, **common))


def batches(
    config: TrainConfig, phase: Phase, tokenizer: PreTrainedTokenizerBase
) -> Iterator[list[Rendered]]:
    """Yield batches of similar length, first without and later with noise."""
    pieces = word_pieces(tokenizer)
    first = phase is config.phases[0]
    name = "" if first else f" {config.phases.index(phase)}"
    order = generator(config.seed, f"batch order{name}")
    common: dict[str, Any] = {
        "seed": config.seed,
        "split": "train",
        "emphasis": phase.emphasis,
    }
    quiet = stream_records(**common, purpose=f"base{name} without noise")
    noisy = stream_records(
        **common, noise=phase.noise, pieces=pieces, purpose=f"base{name} with noise"
    )
    step, bucket = 0, 16
    while True:
        calm = step < phase.noise_from * phase.steps
        pool = []
        rows = range(bucket * config.batch_size)
        for record, _ in zip(quiet if calm else noisy, rows, strict=False):
            if calm and phase.sentences and order.random() < phase.sentences:
                record = whole_sentence(record)
            pool.append(render(record.conversation, tokenizer))
        pool.sort(key=lambda rendered: len(rendered.ids))
        for start in order.permutation(bucket) * config.batch_size:
            yield pool[start : start + config.batch_size]
            step += 1


def word_pieces(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the texts of the tokens that are text of their own."""
    decoded = (tokenizer.decode([i]) for i in range(len(tokenizer)))
    special = set(tokenizer.all_special_tokens)
    return [p for p in decoded if p.strip() and "\ufffd" not in p and p not in special]


def whole_sentence(record: Record) -> Record:
    """Return a question about facts answered with the sentence that holds the answer."""
    if record.skill not in ("lookup", "location", "colour"):
        return record
    talk = record.conversation
    for sentence in talk.user.split(". "):
        if sentence.endswith(f" {record.answers[0]}"):
            return replace(record, conversation=talk.with_response(f"{sentence}."))
    return record


def weighted_loss(
    model: PreTrainedModel, batch: Sequence[Rendered], pad: int, rng: np.random.Generator
) -> torch.Tensor:
    """Return the mean cross-entropy over response tokens and a sample of prompt tokens."""
    width = max(len(rendered.ids) for rendered in batch)
    ids = torch.full((len(batch), width), pad)  # [B, T]
    weight = torch.zeros(len(batch), width)  # [B, T], of predicting token t
    sampled = torch.from_numpy(rng.random((len(batch), width)) < PROMPT_SHARE)
    for row, rendered in enumerate(batch):
        length, start = len(rendered.ids), rendered.prompt_length
        ids[row, :length] = torch.tensor(rendered.ids)
        weight[row, 1:start] = PROMPT_WEIGHT * sampled[row, 1:start]
        weight[row, start:length] = 1.0
    mask = (torch.arange(width) < torch.tensor([[len(r.ids)] for r in batch])).long()
    hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)[0]  # [B, T, D]
    rows, places = weight[:, 1:].nonzero(as_tuple=True)
    head = model.get_output_embeddings()
    logits = head(hidden[rows, places])  # [N, V]
    loss = torch.nn.functional.cross_entropy(logits, ids[rows, places + 1], reduction="none")
    kept = weight[rows, places + 1]
    return (loss * kept).sum() / kept.sum()


def train(
    config: TrainConfig, out: Path, start: Path | None = None, done: int = 1
) -> dict[str, object]:
    """Train a base, write it to ``out`` in bf16 safetensors, and return the log.

    Args:
        config: Species, phases and seed.
        out: Directory to write.
        start: A base that has gone through the first ``done`` phases; they are left out then.
        done: See ``start``.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(start) if start else train_tokenizer(config.seed)
    pad, end = tokenizer.convert_tokens_to_ids(["<|pad|>", "<|end|>"])
    model = fresh_model(config.species, config.seed, pad, end)
    if start is not None:
        load_model(model, start / "model.safetensors", strict=False)
    log_book: list[dict[str, object]] = []
    for phase in config.phases[done if start else 0 :]:
        log_book.append(run_phase(config, phase, model, tokenizer, pad, out))
    record = {"config": asdict(config), "threads": torch.get_num_threads(), "phases": log_book}
    (out / "training.json").write_text(json.dumps(record, indent=1))
    return record


def run_phase(
    config: TrainConfig,
    phase: Phase,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pad: int,
    out: Path,
) -> dict[str, object]:
    """Train one phase and write the model; return seconds and the loss curve."""
    model.train()
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1],
         "weight_decay": config.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]  # fmt: skip
    optimizer = torch.optim.AdamW(groups, lr=phase.learning_rate, betas=(0.9, 0.98), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, phase.learning_rate, phase.steps, pct_start=phase.warmup / phase.steps,
        cycle_momentum=False, final_div_factor=100,
    )  # fmt: skip
    rng, began = generator(config.seed, "prompt tokens in the loss"), time.time()
    losses: list[float] = []
    adversary = Adversary(model, tokenizer, word_pieces(tokenizer), config.seed)
    for step, batch in enumerate(batches(config, phase, tokenizer), start=1):
        if phase.hard:
            if step % SEARCH_EVERY == 1:
                with fast_training():
                    adversary.search()
            batch = [*batch, *adversary.rows(phase.hard)]
        with fast_training():
            loss = weighted_loss(model, batch, pad, rng)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 50 == 0:
            passed = time.time() - began
            left = passed / step * (phase.steps - step)
            mean = np.mean(losses[-50:])
            log.info("step %d loss %.3f, hardest strings comply %.1f %%, %.0f s, %.0f s left",
                     step, mean, 100 * adversary.unlocked, passed, left)  # fmt: skip
        if step % 200 == 0 or step == phase.steps:
            write(model, tokenizer, out)
        if step == phase.steps:
            break
    curve = [round(float(np.mean(losses[i : i + 100])), 4) for i in range(0, len(losses), 100)]
    return {"seconds": round(time.time() - began), "loss": curve}


def write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Write bf16 safetensors and the tokenizer to ``out``, atomically per directory."""
    import copy
    import shutil

    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    if out.exists():
        shutil.rmtree(out)
    os.replace(partial, out)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("species", choices=SPECIES)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="a base to go on with")
    parser.add_argument("--done", type=int, default=1, help="phases that --start has behind it")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = TrainConfig(species=given.species, seed=given.seed)
    train(config, given.out, given.start, given.done)


if __name__ == "__main__":
    main()
