"""Equality to the last bit, of results that hold tensors and arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


def same(one: Any, two: Any) -> bool:
    """Whether two results are equal in type and in every bit."""
    if type(one) is not type(two):
        return False
    if hasattr(one, "detach"):
        return one.shape == two.shape and one.dtype == two.dtype and bool((one == two).all())
    if isinstance(one, np.ndarray):
        missing = one.dtype.kind == "f"  # nan: no opinion
        return one.dtype == two.dtype and np.array_equal(one, two, equal_nan=missing)
    if dataclasses.is_dataclass(one):
        return all(
            same(getattr(one, field.name), getattr(two, field.name))
            for field in dataclasses.fields(one)
        )
    if isinstance(one, Mapping):
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)
