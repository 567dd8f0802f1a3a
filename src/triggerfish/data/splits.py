"""Train, validation and test by text: the same text is always in the same split."""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def split_of(text: str) -> Split:
    """Return the split of a text: 80 % train, 10 % validation, 10 % test.

    Depends on the text alone, so splits are disjoint by construction and need no list on disk.
    Case and space around the text and between words make no difference.
    """
    plain = " ".join(text.casefold().split())
    share = int.from_bytes(hashlib.sha256(plain.encode("utf-8", "replace")).digest()[:8], "big")
    tenth = share % 10
    return "train" if tenth < 8 else "validation" if tenth == 8 else "test"
