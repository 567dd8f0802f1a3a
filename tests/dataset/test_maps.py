import subprocess
import sys

import numpy as np
import pytest

from triggerfish.dataset import maps
from triggerfish.seeding import generator


def drawn(size: int, groups: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """States of rows in groups, far apart, and the group of each."""
    rng = generator(0, "states")
    kind = np.arange(size) % groups
    return (20 * rng.normal(size=(groups, 8))[kind] + rng.normal(size=(size, 8))).astype("f4"), kind


def test_groups_are_apart_on_every_map() -> None:
    pytest.importorskip("umap")
    from sklearn.metrics import silhouette_score

    features, kind = drawn(150)
    found, notes = maps.maps_of(features, np.arange(150), generator(1, "maps"))
    assert set(found) == {"PCA", "t-SNE", "UMAP"}
    assert all(silhouette_score(points, kind) > 0.5 for points in found.values())
    assert notes == ()


def test_few_rows_have_one_map_and_many_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "find_spec", lambda _: None)
    few, _ = maps.maps_of(drawn(50)[0], np.arange(50), generator(1, "maps"))
    assert set(few) == {"PCA"}
    monkeypatch.setattr(maps, "DRAWN", 120)
    many, notes = maps.maps_of(drawn(200)[0], np.arange(200), generator(1, "maps"))
    assert np.isfinite(many["t-SNE"]).all(axis=1).sum() == 120
    assert any("120 drawn rows" in note for note in notes)
    assert any("no UMAP picture" in note for note in notes)


def test_the_order_of_the_rows_is_irrelevant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "find_spec", lambda _: None)
    features, _ = drawn(120)
    order = generator(2, "order").permutation(120)
    first, _ = maps.maps_of(features, np.arange(120), generator(1, "maps"))
    again, _ = maps.maps_of(features[order], np.argsort(order), generator(1, "maps"))
    for name, points in first.items():
        np.testing.assert_allclose(again[name], points[order], rtol=1e-4, atol=1e-3)


def test_a_picture_leaves_the_number_of_threads_alone() -> None:
    """In a process of its own: numba sets it at its first use only."""
    pytest.importorskip("umap")
    asked = """
import numpy as np, torch
from triggerfish.dataset.maps import _umap

others = 3 if torch.get_num_threads() == 1 else 1
torch.set_num_threads(others)
_umap(np.random.default_rng(0).normal(size=(120, 8)).astype("f4"))
assert torch.get_num_threads() == others, torch.get_num_threads()
"""
    subprocess.run([sys.executable, "-c", asked], check=True)
