"""Random generators derived from a seed and a purpose; nothing else here is random.

Two purposes never share a stream, so adding a draw in one place changes no number elsewhere.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, purpose: str) -> int:
    """Return a 63-bit seed that depends on the seed and the purpose only.

    The same on every machine and Python version (SHA-256, not ``hash``).
    """
    digest = hashlib.sha256(f"{seed}\x00{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return a new numpy generator for the purpose."""
    return np.random.default_rng(derive(seed, purpose))


def torch_generator(seed: int, purpose: str, device: str = "cpu") -> torch.Generator:
    """Return a new torch generator for the purpose; the global generator is not touched."""
    import torch

    return torch.Generator(device=device).manual_seed(derive(seed, purpose))
