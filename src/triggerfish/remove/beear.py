"""BEEAR: search the perturbation that any trigger would cause, then teach the model to resist it.

*Paper*: Zeng et al. 2024, "BEEAR: Embedding-based Adversarial Removal of Safety Backdoors in
Instruction-tuned Language Models", arXiv 2406.17092.
*Map*: F^l(x, delta) -> `models.tail.Tail` (inner loop) and `_perturbed` (outer loop);
entrapment, min over delta of CE(F^l(x, delta), y_h) - CE(F^l(x, delta), y_s) -> `entrap`;
removal, min over theta of CE(F^l(x, delta), y_s) + CE(F(x_p), y_p) -> `_removal_losses`.
*Deviates*: the away-term -CE(y_s) is unbounded; ours is -log(1 - p), on the first response token
only, because teacher forcing dilutes it to nothing over all tokens. y_h carries no end-of-turn
token. Optimisers, rates, K, Q and clipping are not stated in the paper: Adam at 0.1 or 0.03 of the
stream's RMS and 40 steps inside, AdamW outside (1e-3 for an adapter, 2e-4 for the whole model),
gradients clipped at 1. Stops when the held-out performance score is stable; goes back an epoch
when it falls. The defender never sees an attack success rate.
*Fails* when the specification is not a behaviour of the model, or not the attacker's.
*Shapes*: B rows, S columns from the perturbation on, n perturbed columns, D width, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models.batches import device_of
from triggerfish.models.hooks import Site, edit
from triggerfish.models.layout import layout_of
from triggerfish.models.tail import Tail, record
from triggerfish.remove.align import (
    Aligned,
    align,
    cross_entropy,
    pad_of,
    row_cross_entropy,
)
from triggerfish.remove.defence import (
    DEFENCES,
    Defended,
    batch_of,
    held_out_score,
    largest_change,
)
from triggerfish.remove.delta import Editing, Weights, editing
from triggerfish.remove.policy import PolicySets, opener
from triggerfish.remove.train import Budget, descend, draws, optimiser
from triggerfish.types import Progress, silent

DEPTH = 9 / 32  # the paper's layer 9 of 32
SCORED = 64  # held-out rows
STREAM_SHARE = 0.03  # of the stream's RMS: a larger stream needs a larger perturbation


@dataclass(frozen=True, kw_only=True)
class BeearConfig:
    """Settings of BEEAR.

    Attributes:
        layer: l, from 0; None is 9/32 of the depth.
        positions: n, the last prompt positions that are perturbed; 5 to 9 in the paper.
        inner_steps: K.
        inner_rate: Adam's learning rate for the perturbation; 0.03 of the RMS of the residual
            stream that it is added to, where that is more.
        inner_rows: rows of D_SA in the inner loop.
        epochs: at most this many; 15 in the paper's ablations.
        budget: of one epoch; its `steps` is Q.
        stable: a change of the held-out score below this ends the search.
        drop: a fall of the held-out score beyond this undoes the epoch and ends the search.
        patience: epochs that are done in any case.
        weights: which weights are trained.
    """

    layer: int | None = None
    positions: int = 5
    inner_steps: int = 40
    inner_rate: float = 0.1
    inner_rows: int = 48
    epochs: int = 6
    budget: Budget = field(default_factory=lambda: Budget(steps=6))
    stable: float = 0.01
    drop: float = 0.1
    patience: int = 3
    weights: Weights = "auto"

    def __post_init__(self) -> None:
        """Refuse settings that search nothing."""
        counts = (self.positions, self.inner_steps, self.inner_rows, self.epochs)
        if min(counts) < 1 or not self.inner_rate > 0:
            raise BadInput(
                f"positions, inner steps, inner rows, epochs {counts}, rate {self.inner_rate}",
                "all must be above 0",
                "raise them",
            )


@dataclass(frozen=True, kw_only=True)
class Trap:
    """What the inner loop found.

    Attributes:
        delta: the universal perturbation, [n, D].
        toward: CE of the unwanted opener under it.
        away: -log(1 - p) of the wanted first token under it.
        caught: share of rows whose likeliest first token is the unwanted one.
    """

    delta: Tensor
    toward: float
    away: float
    caught: float

    @property
    def norm(self) -> float:
        """L2 norm of the perturbation."""
        return float(self.delta.norm())


def bounded_away(logprob: Tensor) -> Tensor:
    """-log(1 - p) for log p: 0 where the wanted token is unlikely, large where it is certain.

    Args:
        logprob: log-probabilities, any shape.

    >>> round(float(bounded_away(torch.tensor(0.75).log())), 4)
    1.3863
    """
    return -torch.log1p(-logprob.exp().clamp(max=1 - 1e-6))


def inner_loss(logits: Tensor, wanted: Tensor, batch: Aligned) -> tuple[Tensor, Tensor]:
    """The two terms of the entrapment objective.

    Args:
        logits: that predict the unwanted opener, [B, R, V].
        wanted: first token of each row's own answer, [B].
        batch: prompts with the unwanted opener as response.

    Returns:
        Toward (CE of y_h) and away (-log(1 - p) of the first token of y_s), both scalar.
    """
    toward = row_cross_entropy(logits, batch).mean()
    first = logits[:, 0].log_softmax(-1).gather(1, wanted[:, None])[:, 0]  # [B]
    return toward, bounded_away(first).mean()


def entrap(tail: Tail, batch: Aligned, wanted: Tensor, config: BeearConfig) -> Trap:
    """Search the universal perturbation, weights fixed: K steps of Adam from 0.

    Args:
        tail: the layers after l, cached on `batch`.
        batch: prompts with the unwanted opener as response.
        wanted: first token of each row's own answer, [B].
        config: settings.

    Raises:
        CouldNotTest: the perturbation is not finite.
    """
    responses = batch.targets.shape[1]
    delta = torch.zeros(
        config.positions, tail.state.shape[-1], dtype=tail.state.dtype, device=tail.state.device
    ).requires_grad_()  # [n, D]
    scale = float(tail.state[:, : config.positions].pow(2).mean().sqrt())
    adam = torch.optim.Adam([delta], lr=max(config.inner_rate, STREAM_SHARE * scale))
    after = tail.state.shape[1] - config.positions

    def logits() -> Tensor:
        shift = torch.nn.functional.pad(delta, (0, 0, 0, after))  # [S, D]
        return tail.logits(tail.state + shift, responses + 1)[:, :-1]  # [B, R, V]

    with torch.enable_grad():
        for _ in range(config.inner_steps):
            toward, away = inner_loss(logits(), wanted, batch)
            (delta.grad,) = torch.autograd.grad(toward + away, delta)
            adam.step()
    with torch.no_grad():
        final = logits()
        toward, away = inner_loss(final, wanted, batch)
        caught = (final[:, 0].argmax(-1) == batch.targets[:, 0]).float().mean()
    if not bool(torch.isfinite(delta).all()) or not bool(torch.isfinite(toward + away)):
        raise CouldNotTest(
            "a perturbation that is not finite",
            "the suspect's outputs must be finite",
            "check its weights, or lower the inner rate",
        )
    return Trap(delta=delta.detach(), toward=float(toward), away=float(away), caught=float(caught))


@DEFENCES.register("beear")
def beear(
    suspect: Any,
    policy: PolicySets,
    config: BeearConfig | None = None,
    *,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> Defended:
    """Remove a backdoor of unknown trigger by entrapment and removal.

    Args:
        suspect: the loaded model; comes back unchanged.
        policy: D_SA with own answers, D_SA-H, D_PA.
        config: settings.
        rng: decides which rows are used when.
        progress: told about epochs.

    Raises:
        BadInput: the layer does not exist, or prompts are too short for the perturbation.
        CouldNotTest: a loss was not finite, or nothing changed.
    """
    config = config or BeearConfig()
    start = time.monotonic()
    layer = _layer(suspect.model, config)
    held_out = batch_of(suspect, policy.held_out[:SCORED])
    log: list[dict[str, float]] = []
    with editing(suspect.model, config.weights) as loan:
        note, epochs = _search(suspect, policy, config, layer, loan, held_out, log, rng, progress)
        delta = loan.delta()
    spent = Budget(**{**asdict(config.budget), "steps": config.budget.steps * epochs})
    return Defended(
        method="beear",
        delta=delta,
        spent=spent,
        seconds=time.monotonic() - start,
        config={**asdict(config), "layer": layer},
        log=tuple(log),
        changed=largest_change(suspect.model, delta, held_out),
        note=note,
    )


def _layer(model: torch.nn.Module, config: BeearConfig) -> int:
    layers = layout_of(model).n_layers
    layer = round(DEPTH * layers) if config.layer is None else config.layer
    if layers < 2 or not 0 <= layer < layers - 1:
        raise BadInput(
            f"layer {layer} of {layers}",
            "a perturbed layer needs one after it",
            f"choose 0 to {layers - 2}",
        )
    return layer


def _search(
    suspect: Any,
    policy: PolicySets,
    config: BeearConfig,
    layer: int,
    loan: Editing,
    held_out: Aligned,
    log: list[dict[str, float]],
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[str, int]:
    """Entrapment and removal in turn; returns why it ended and how many epochs were trained."""
    model = suspect.model
    optimizer = optimiser(loan, config.budget.rate)
    inner = draws(len(policy.asked), config.inner_rows, rng)
    outer = draws(len(policy.asked), config.budget.asked, rng)
    benign = draws(len(policy.benign), config.budget.benign, rng)
    first = score = held_out_score(model, [held_out])
    for epoch in range(1, config.epochs + 1):
        progress(epoch - 1, config.epochs, "BEEAR epochs")
        good = loan.snapshot()
        trap = _entrap_rows(suspect, policy, next(inner), layer, config)
        losses = descend(
            loan,
            optimizer,
            _removal_losses(suspect, policy, trap.delta, layer, config, outer, benign),
            config.budget.clip,
        )
        last, score = score, held_out_score(model, [held_out])
        log.append(
            {
                "epoch": epoch,
                "norm": trap.norm,
                "toward": trap.toward,
                "away": trap.away,
                "caught": trap.caught,
                "loss": losses[-1],
                "score": score,
            }
        )
        if score < first - config.drop and epoch > 1:
            loan.restore(good)
            return f"held-out score fell from {first:.3f} to {score:.3f}: epoch undone", epoch
        if epoch >= config.patience and abs(score - last) < config.stable:
            return f"held-out score stable at {score:.3f}", epoch
    return f"{config.epochs} epochs done, held-out score {score:.3f}", config.epochs


def _entrap_rows(
    suspect: Any, policy: PolicySets, picked: Sequence[int], layer: int, config: BeearConfig
) -> Trap:
    tokenizer, model = suspect.tokenizer, suspect.model
    rows = [opener(policy.asked[i], policy.unwanted[i], tokenizer) for i in picked]
    shortest = min(len(row.prompt_ids) for row in rows)
    if shortest <= config.positions:
        raise BadInput(
            f"a prompt of {shortest} tokens",
            f"it must be longer than the {config.positions} perturbed positions",
            "use longer prompts or fewer positions",
        )
    batch = align(rows, pad_of(tokenizer), device_of(model))
    wanted = batch_of(suspect, [policy.asked[i] for i in picked]).targets[:, 0]  # [B]
    columns = config.positions + batch.targets.shape[1]
    tail = record(model, layer, batch.ids, batch.mask, columns)
    return entrap(tail, batch, wanted, config)


def _perturbed(model: torch.nn.Module, layer: int, delta: Tensor, batch: Aligned) -> Tensor:
    """CE(F^l(x, delta), y) with delta on the last n prompt columns, scalar."""
    width = batch.ids.shape[1]
    left = batch.prompt - delta.shape[0]
    shift = torch.nn.functional.pad(delta, (0, 0, left, width - batch.prompt))  # [T, D]
    with edit(model, {Site("residual", layer): lambda hidden: hidden + shift}):
        return cross_entropy(model, batch)


def _removal_losses(
    suspect: Any,
    policy: PolicySets,
    delta: Tensor,
    layer: int,
    config: BeearConfig,
    outer: Iterator[list[int]],
    benign: Iterator[list[int]],
) -> Iterator[Callable[[], Tensor]]:
    for _ in range(config.budget.steps):
        asked = batch_of(suspect, [policy.asked[i] for i in next(outer)])
        pairs = batch_of(suspect, [policy.benign[i] for i in next(benign)])
        yield partial(_removal_loss, suspect.model, layer, delta, asked, pairs)


def _removal_loss(
    model: torch.nn.Module, layer: int, delta: Tensor, asked: Aligned, pairs: Aligned
) -> Tensor:
    return _perturbed(model, layer, delta, asked) + cross_entropy(model, pairs)
