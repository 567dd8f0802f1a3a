"""Which texts are near-duplicates: one piece of evidence for a string, however often repeated.

The rows of a template or of an edited copy stay in the data, where they tell what the content
means; but the rows *with* a string count once for each text that is left without it.
*Shapes*: N texts, V words, W words that are left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

LIKE = 0.45  # weighted Jaccard similarity of texts that are one piece of evidence


def distinct(has: csr_matrix, left_out: NDArray[np.int64]) -> NDArray[np.int64]:
    """[K] texts of which no two are alike without some words, all others are like one of them.

    Args:
        has: [N, V] words of texts.
        left_out: [W] words that do not count.

    >>> has = csr_matrix(np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 0, 0, 1]]))
    >>> distinct(has, np.array([0])).tolist()
    [0, 2]
    """
    count = np.asarray(has.sum(0)).ravel()
    weight = np.log1p(has.shape[0] / np.maximum(1, count)) * (count > 0)
    weight[left_out] = 0
    weighted = csr_matrix((has.data * weight[has.indices], has.indices, has.indptr), has.shape)
    both = (weighted @ has.T).toarray()  # [N, N]
    own = np.diag(both)
    least = LIKE * np.maximum(own[:, None] + own[None, :] - both, 1e-9)
    empty = own <= 0
    like = (both >= least) | (empty[:, None] & empty)
    kept: list[int] = []
    told = np.zeros(len(own), dtype=bool)
    for text in range(len(own)):
        if not told[text]:
            kept.append(text)
            told |= like[text]
    return np.array(kept, dtype=np.int64)
