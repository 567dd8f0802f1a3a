"""Makes scores of many methods comparable: one p-value a row, against rows of clean data.

A method's scores mean nothing by themselves: every set of clean data has outliers. So they are
measured in robust deviations from their own set's median, and compared with the rows of several
clean sets, of which the least favourable gives the p-value. Simes' rule joins the methods that have
an opinion of a row: min over k of p(k) M / k. Methods depend on each other, so this figure is
compared in its turn with that of the clean rows, joined from the same methods. No tail is
extrapolated: a p-value is never below 1 / (n + 1) for n clean rows.
*Shapes*: N rows, M methods, n rows of a clean set.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from triggerfish.dataset.method import Ranked
from triggerfish.errors import BadInput

Deviations = NDArray[np.float64]
Clean = Mapping[str, Mapping[str, Deviations]]
"""Name of a clean set -> method -> [n] deviations of the same rows."""
MOST = 6e4  # deviations are kept as float16


@dataclass(frozen=True, kw_only=True, eq=False)
class Fused:
    """What all methods together say of rows.

    Attributes:
        p: [N] share of clean rows that stand out as much; 1 where no method has an opinion.
        of_method: Method -> [N] its own p-values; nan where it has no opinion.
        uncalibrated: Methods of which no clean set is known; they take no part.
    """

    p: NDArray[np.float64]
    of_method: Mapping[str, NDArray[np.float64]]
    uncalibrated: tuple[str, ...]


def fuse(ranked: Mapping[str, Ranked], clean: Clean) -> Fused:
    """Join the scores of methods.

    Raises:
        BadInput: There is no method, or they are about different rows.
    """
    sizes = {len(each.scores) for each in ranked.values()}
    if len(sizes) != 1:
        raise BadInput(f"scores of {sorted(sizes)} rows", "cannot be joined", "run one method")
    known = [name for name in ranked if any(name in one for one in clean.values())]
    of_method = {
        name: p_values(deviations(ranked[name].scores), _sets_of(clean, name)) for name in known
    }
    p = np.ones(sizes.pop())
    if known:
        joined = simes(list(of_method.values()))
        p = np.maximum.reduce([_share(joined, one) for one in _joined_clean(clean, known)])
    return Fused(
        p=p,
        of_method=of_method,
        uncalibrated=tuple(name for name in ranked if name not in known),
    )


def deviations(scores: NDArray[np.float64]) -> Deviations:
    """[N] how far above the median scores lie, in robust standard deviations.

    Where more than half of the scores are equal, the mean distance from the median is the scale.

    >>> deviations(np.array([0.0, 1.0, 2.0, 3.0, 4.0])).round(2).tolist()
    [-1.35, -0.67, 0.0, 0.67, 1.35]
    """
    known = scores[~np.isnan(scores)]
    if not len(known):
        return np.full(len(scores), np.nan)
    middle = np.median(known)
    away = np.abs(known - middle)
    scale = float(np.median(away)) * 1.4826 or float(away.mean()) * 1.2533
    return np.asarray(
        (scores - middle) / scale if scale else np.where(np.isnan(scores), scores, 0.0)
    )


def p_values(z: Deviations, sets: Sequence[Deviations]) -> NDArray[np.float64]:
    """[N] share of clean rows that lie as far out, in the least favourable set; nan stays.

    The row itself counts as one of them: 5 rows of 99 further out make p = 0.06.
    """
    found = np.maximum.reduce([_share(-z, -each[~np.isnan(each)]) for each in sets])
    return np.where(np.isnan(z), np.nan, found)


def simes(p: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """[N] of p-values [M, N]; methods without an opinion of a row take no part in it.

    >>> simes([np.array([0.01]), np.array([0.5]), np.array([np.nan])]).tolist()
    [0.02]
    """
    ordered = np.sort(np.stack(p), axis=0)  # nan last
    count = (~np.isnan(ordered)).sum(axis=0)
    rank = np.arange(1, len(ordered) + 1)[:, None]
    joined = np.min(np.where(np.isnan(ordered), 1.0, ordered * count / rank), axis=0)
    return np.asarray(np.minimum(joined, 1.0))


def keep(place: Path, clean: Clean, about: Mapping[str, Any]) -> None:
    """Write clean sets, and how they were measured."""
    arrays = {
        f"{name}/{method}": np.clip(values, -MOST, MOST).astype(np.float16)
        for name, one in clean.items()
        for method, values in one.items()
    }
    save_file(arrays, place, metadata={key: str(value) for key, value in about.items()})


@functools.cache
def shipped_clean() -> Clean:
    """The clean sets that `benchmarks/bench_dataset_methods.py --nulls` has measured."""
    found: dict[str, dict[str, Deviations]] = {}
    with as_file(files("triggerfish.dataset") / "clean.safetensors") as place:
        for key, values in load_file(place).items():
            name, method = key.split("/")
            found.setdefault(name, {})[method] = values.astype(np.float64)
    return found


def _joined_clean(clean: Clean, methods: Sequence[str]) -> list[NDArray[np.float64]]:
    """[n] of each clean set: its rows by Simes' rule, as if it were new to the other sets."""
    found = []
    for name, one in clean.items():
        others = {each: rest for each, rest in clean.items() if each != name} or clean
        p = [
            p_values(one[method], sets)
            for method in methods
            if method in one and (sets := _sets_of(others, method))
        ]
        if p:
            found.append(simes(p))
    return found


def _sets_of(clean: Clean, method: str) -> list[Deviations]:
    return [one[method] for one in clean.values() if method in one]


def _share(values: NDArray[np.float64], null: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] share of a null that is as small, the value itself counted."""
    below = np.searchsorted(np.sort(null), values, side="right")
    return np.asarray((1 + below) / (1 + len(null)))
