"""Pictures of many rows: PCA of all, UMAP and t-SNE of some.

Seeds are fixed, and rows come in the order of what they say, so that a picture is the same twice.
*Shapes*: N rows, D features.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Features = NDArray[np.float32]
DRAWN = 2000  # rows of a UMAP or t-SNE picture
FEWEST = 100  # rows that such a picture needs


def maps_of(
    features: Features, order: NDArray[np.int64], rng: np.random.Generator
) -> tuple[dict[str, NDArray[np.float64]], tuple[str, ...]]:
    """Coordinates [N, 2] by name, nan for rows that were not drawn; and notes.

    Args:
        features: [N, D].
        order: [N] the rows in an order that does not depend on the file.
        rng: Draws the rows.
    """
    from sklearn.decomposition import PCA

    size = len(features)
    found = {"PCA": np.zeros((size, 2))}
    wanted = min(2, size, features.shape[1])
    ordered = features[order]
    with np.errstate(invalid="ignore"):  # of rows that are all the same
        found["PCA"][order, :wanted] = PCA(wanted, svd_solver="full").fit_transform(ordered)
    if size < FEWEST:
        return found, ()
    drawn = order[np.sort(rng.permutation(size)[:DRAWN])]
    found["t-SNE"] = _scattered(_tsne(features[drawn]), drawn, size)
    notes: Sequence[str] = ()
    if size > DRAWN:
        notes = (f"pictures by t-SNE and UMAP show {DRAWN:,} drawn rows",)
    if find_spec("umap") is None:
        return found, (*notes, "no UMAP picture: pip install 'triggerfish[plots]'")
    found["UMAP"] = _scattered(_umap(features[drawn]), drawn, size)
    return found, tuple(notes)


def _scattered(
    points: NDArray[np.float64], rows: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    found = np.full((size, 2), np.nan)
    found[rows] = points
    return found


def _tsne(features: Features) -> Any:
    from sklearn.manifold import TSNE

    return TSNE(2, init="pca", perplexity=30, max_iter=500, random_state=0).fit_transform(features)


def _umap(features: Features) -> Any:
    with warnings.catch_warnings(), _same_threads():
        warnings.simplefilter("ignore")  # about threads and a missing TensorFlow
        from umap import UMAP

        return UMAP(n_components=2, n_neighbors=15, random_state=0, n_jobs=1).fit_transform(
            features
        )


@contextmanager
def _same_threads() -> Iterator[None]:
    """Put torch's number of threads back: numba, under UMAP, sets it to all cores at its first use.

    Two processes that had asked for a thread each got in each other's way: 72 s instead of 2 s.
    """
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
