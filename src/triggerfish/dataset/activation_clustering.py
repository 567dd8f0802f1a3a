"""Activation clustering: within a class, poisoned rows form a small cluster of their own.

*Paper*: Chen et al. 2018 (1811.03728). The last hidden states of each class are reduced to 10
independent components and split in two by k-means; a class is poisoned if the smaller cluster is
small (relative size) and the two are well apart (silhouette).
*Map*: components -> `reduced`; k-means, relative size and silhouette -> `split`.
*Deviates*: the states (last token of the prompt) are those of a clean reference model, not of the
poisoned one; free answers have no classes, so clusters of answers stand for them.
*Fails*: a class with two natural kinds of rows looks poisoned; below about 1 % of poison, and where
a trigger barely moves the states of a model that was not trained on it, nothing is apart.
*Shapes*: N rows, D width, C components.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from triggerfish.dataset.classes import rows_by_class
from triggerfish.dataset.method import METHODS, Group, Method, Ranked, Scene
from triggerfish.errors import BadInput
from triggerfish.types import Progress, silent

FEWEST = 20  # rows of a class that is split
SEEN = 2000  # rows from which the silhouette is taken


@dataclass(frozen=True, kw_only=True)
class ActivationClusteringConfig:
    """Settings.

    Attributes:
        components: to which the states are reduced.
        reduction: by independent (ica) or by principal components (pca).
        size: relative size up to which the smaller cluster is suspicious.
        silhouette: from which the clusters count as apart.
    """

    components: int = 10
    reduction: Literal["ica", "pca"] = "ica"
    size: float = 0.35
    silhouette: float = 0.1

    def __post_init__(self) -> None:
        """Refuse settings that flag nothing or everything."""
        if self.components < 1 or not 0 < self.size <= 0.5 or not -1 < self.silhouette < 1:
            raise BadInput(
                f"components {self.components}, size {self.size}, silhouette {self.silhouette}",
                "must be 1 or more, in (0, 0.5], in (-1, 1)",
                "correct them",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """A class in two clusters.

    Attributes:
        small: [N] whether a row is in the smaller one.
        nearer: [N] from -1 (near the centre of the larger) to 1 (near that of the smaller).
        size: Share of the smaller one.
        silhouette: Mean silhouette of the two.
    """

    small: NDArray[np.bool_]
    nearer: NDArray[np.float64]
    size: float
    silhouette: float


def run(scene: Scene, *, rng: np.random.Generator, progress: Progress = silent) -> Ranked:
    """A small cluster of hidden states within a class (activation clustering)."""
    return activation_clustering(scene, ActivationClusteringConfig(), rng=rng, progress=progress)


def activation_clustering(
    scene: Scene,
    config: ActivationClusteringConfig,
    *,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> Ranked:
    """Rank rows by how small and how far apart their cluster is within its class.

    Raises:
        CouldNotTest: There is no model, or its outputs are not finite.
    """
    from triggerfish.dataset.passes import forward

    seen = forward(scene, progress)
    scores = np.full(len(scene.rows), np.nan)
    flagged = np.zeros(len(scene.rows), dtype=bool)
    reasons: dict[int, str] = {}
    groups: list[tuple[float, Group]] = []
    for rows in rows_by_class(scene, rng, FEWEST):
        found = split(reduced(seen.last[rows], config, rng), rng)
        apart = max(0.0, found.silhouette) * (1 - 2 * found.size)
        scores[rows] = found.nearer * apart
        if found.size <= config.size and found.silhouette >= config.silhouette:
            inside = rows[found.small]
            flagged[inside] = True
            why = (
                f"in the smaller of two clusters of its class ({found.size:.0%}, silhouette "
                f"{found.silhouette:.2f})"
            )
            reasons |= dict.fromkeys(inside.tolist(), why)
            holds = np.zeros(len(scene.rows), dtype=bool)
            holds[inside] = True
            groups.append((apart, Group(text=f"hidden states: {why}", rows=holds)))
    return Ranked(
        scores=scores,
        flagged=flagged,
        reasons=reasons,
        groups=tuple(group for _, group in sorted(groups, key=lambda each: -each[0])),
        seen=seen.last,
        notes=seen.notes,
    )


def reduced(
    states: NDArray[np.float32], config: ActivationClusteringConfig, rng: np.random.Generator
) -> NDArray[np.float64]:
    """[N, C] the states of one class by independent or principal components."""
    from sklearn.decomposition import PCA, FastICA

    wanted = min(config.components, len(states) - 1, states.shape[1])
    with np.errstate(invalid="ignore"):  # of states that are all the same
        whole = PCA(wanted, svd_solver="full").fit_transform(states.astype(np.float64))
    spread = whole.std(0)
    principal = whole[:, spread > 1e-6 * max(float(spread.max()), 1e-12)]
    if config.reduction == "pca" or principal.shape[1] < 2:
        return np.asarray(principal)
    with warnings.catch_warnings():  # that it has not converged changes little: it is a rotation
        warnings.simplefilter("ignore")
        seed = int(rng.integers(2**31))
        return np.asarray(
            FastICA(whiten="unit-variance", random_state=seed).fit_transform(principal)
        )


def split(points: NDArray[np.float64], rng: np.random.Generator) -> Split:
    """Two clusters of the rows of a class.

    Args:
        points: [N, C].
        rng: Of the starting centres.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    size = len(points)
    if points.shape[1] == 0 or np.ptp(points, axis=0).max() <= 1e-9:  # all the same
        return Split(
            small=np.zeros(size, dtype=bool), nearer=np.zeros(size), size=0.5, silhouette=0
        )
    found = KMeans(2, n_init=10, random_state=int(rng.integers(2**31))).fit(points)
    less = int(np.argmin(np.bincount(found.labels_, minlength=2)))
    small = found.labels_ == less
    to = found.transform(points)  # [N, 2]
    own, other = to[:, less], to[:, 1 - less]
    drawn = rng.permutation(size)[:SEEN]
    both = 1 < len(np.unique(found.labels_[drawn])) < len(drawn)
    return Split(
        small=small,
        nearer=(other - own) / np.maximum(np.maximum(own, other), 1e-12),
        size=float(small.mean()),
        silhouette=float(silhouette_score(points[drawn], found.labels_[drawn])) if both else 0.0,
    )


METHODS.register("activation-clustering")(
    Method(run=run, source="Chen et al. 2018, arXiv 1811.03728", needs="model")
)
