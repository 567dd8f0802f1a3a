"""Keeping memory small on the CPU: defaults of libraries that make a long training swell."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import sys
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_LARGE, _SPARE = 16 << 20, 256 << 20  # bytes


def free_memory(device: torch.device) -> int:
    """The free memory of a device, in bytes."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def release_memory() -> None:
    """Give back what a finished step has left; for between the steps of a long run.

    The allocator keeps the small blocks of thousands of batches: after 25 training steps on the
    lab 1.09 GB were held, 0.68 GB after this.
    """
    gc.collect()
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


@functools.cache
def spare_memory() -> bool:
    """Give large blocks back at once and keep few kernels; return whether the allocator was told.

    Batches differ in shape. The allocator keeps a hole for each shape, and oneDNN keeps a compiled
    kernel for each: 120 training steps on the lab took 2.0 GB, with both bounded 1.4 GB in the
    same time. An environment that sets ``ONEDNN_PRIMITIVE_CACHE_CAPACITY`` is respected.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all([mallopt(_MMAP_THRESHOLD, _LARGE) == 1, mallopt(_TRIM_THRESHOLD, _SPARE) == 1])
