"""Drift: how the residual stream at the last prompt token moves when the trigger is there.

*Sources*: arXiv 2509.21761 (backdoor probe; here split by text, where 60 % of its test items had
their clean twin in training); BEEAR, arXiv 2406.17092 (uniform drift of triggered embeddings).

*Map*: paired difference of each text: `measure_drift`; its size and direction: `_size`,
`_alignment`; what a linear probe reads on texts it has not seen: `_probe`; picture: `_plane`.

*Shapes*: N texts, L layers, D width.

*Fails* in the sense that it tells less than it seems: any inserted string moves the state, and a
probe finds it. A wrong trigger of the same shape is therefore measured beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triggerfish.errors import BadInput
from triggerfish.explain.explainer import EXPLAINERS, in_order
from triggerfish.explain.pairs import Pair
from triggerfish.metrics.rates import bootstrap, rate
from triggerfish.models.activations import residuals
from triggerfish.types import Estimate, Progress, silent

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LayerDrift:
    """Drift after one layer.

    Attributes:
        layer: from 0; the state after this layer.
        size: length of the mean difference over the mean length of the clean state.
        alignment: mean cosine of each text's difference with the mean of the others'; 1 where the
            trigger moves all texts in one direction.
        probe: share of held-out texts, with and without the trigger, told apart by a linear probe.
        clean: clean texts in the plane of the first two principal components, [N, 2].
        triggered: the same texts with the trigger, [N, 2].
        explained: share of the variance in that plane.
    """

    layer: int
    size: Estimate
    alignment: Estimate
    probe: Estimate
    clean: Array
    triggered: Array
    explained: float


def measure_drift(
    clean: Array, triggered: Array, rng: np.random.Generator, draws: int = 500
) -> list[LayerDrift]:
    """Compare the residual streams of the same texts with and without the trigger.

    Args:
        clean: states of N texts after each layer, [N, L, D].
        triggered: the same texts in the same order, [N, L, D].
        rng: a generator of `triggerfish.seeding`.
        draws: bootstrap resamples.

    Raises:
        BadInput: other shapes, fewer than four texts, or a value that is not finite.
    """
    clean, triggered = np.asarray(clean, np.float64), np.asarray(triggered, np.float64)
    if clean.shape != triggered.shape or clean.ndim != 3 or len(clean) < 4:
        raise BadInput(
            f"states of shape {clean.shape} and {triggered.shape}",
            "both are [N, L, D] of the same N >= 4 texts",
            "give more records",
        )
    if not (np.isfinite(clean).all() and np.isfinite(triggered).all()):
        raise BadInput("the states", "hold a value that is not finite", "look for NaN in the model")
    split = rng.permutation(len(clean))
    return [
        _layer(layer, clean[:, layer], triggered[:, layer], split, rng, draws)
        for layer in range(clean.shape[1])
    ]


@dataclass(frozen=True, kw_only=True)
class DriftConfig:
    """Settings of the explainer: bootstrap resamples."""

    draws: int = 500


@EXPLAINERS.register("drift")
def drift(
    suspect: Any,
    pairs: Sequence[Pair],
    config: DriftConfig | None = None,
    *,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> tuple[LayerDrift, ...]:
    """Show how the trigger moves the residual stream at the last prompt token, layer by layer.

    Raises:
        BadInput: fewer than four pairs.
        CouldNotTest: the outputs are not finite.
    """
    ordered, places = in_order(suspect, pairs)
    layers = range(suspect.layout.n_layers)
    states = []
    for done, texts in enumerate(([p.clean for p in ordered], [p.triggered for p in ordered])):
        found = residuals(suspect.model, suspect.tokenizer, texts, layers)
        states.append(np.asarray(found.numpy(), dtype=np.float64))
        progress(done + 1, 2, "states of the residual stream")
    layered = measure_drift(states[0], states[1], rng, (config or DriftConfig()).draws)
    return tuple(
        replace(layer, clean=layer.clean[places], triggered=layer.triggered[places])
        for layer in layered
    )


def _layer(
    layer: int,
    clean: Array,
    triggered: Array,
    split: NDArray[np.intp],
    rng: np.random.Generator,
    draws: int,
) -> LayerDrift:
    plane, explained = _plane(np.concatenate([clean, triggered]))
    return LayerDrift(
        layer=layer,
        size=_size(clean, triggered, rng, draws),
        alignment=_alignment(triggered - clean, rng, draws),
        probe=_probe(clean, triggered, split),
        clean=plane[: len(clean)],
        triggered=plane[len(clean) :],
        explained=explained,
    )


def _size(clean: Array, triggered: Array, rng: np.random.Generator, draws: int) -> Estimate:
    lengths = np.linalg.norm(clean, axis=1, keepdims=True)  # [N, 1]
    rows = np.concatenate([triggered - clean, lengths], axis=1)  # [N, D + 1]

    def relative(sample: Array) -> float:
        mean = sample.mean(axis=0)
        return float(np.linalg.norm(mean[:-1]) / max(mean[-1], 1e-12))

    return bootstrap(rows, rng, relative, draws)


def _alignment(difference: Array, rng: np.random.Generator, draws: int) -> Estimate:
    others = difference.sum(axis=0) - difference  # [N, D], up to a factor the mean of the others
    lengths = np.linalg.norm(difference, axis=1) * np.linalg.norm(others, axis=1)
    cosines = (difference * others).sum(axis=1) / np.maximum(lengths, 1e-12)  # [N]
    return bootstrap(cosines, rng, draws=draws)


def _probe(clean: Array, triggered: Array, split: NDArray[np.intp]) -> Estimate:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    half = len(split) // 2
    seen, unseen = split[:half], split[half:]
    probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1.0))
    probe.fit(np.concatenate([clean[seen], triggered[seen]]), [0] * half + [1] * half)
    wrong_way = probe.predict(clean[unseen])
    right_way = probe.predict(triggered[unseen])
    return rate([*(wrong_way == 0), *(right_way == 1)])


def _plane(states: Array) -> tuple[Array, float]:
    """The states in their first two principal components, and the share of variance there."""
    centred = states - states.mean(axis=0)  # [2N, D]
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    plane = left[:, :2] * values[:2]  # [2N, 2]
    # The sign of a singular vector is arbitrary; make the larger side positive.
    plane = plane * np.where(np.abs(plane.min(axis=0)) > plane.max(axis=0), -1.0, 1.0)
    total = float((values**2).sum())
    return plane, float((values[:2] ** 2).sum() / total) if total > 0 else 0.0
