"""The boost of a string: by how much it raises the log-odds of a target over the content.

For texts with the string, logits of the content without it, and whether they have the target, the
boost is the b of P(target) = sigmoid(logit + b). Its lower bound (profile likelihood, 99.9 %) is
the score: a word that belongs to a class has a moderate boost, for its texts agree with it anyway;
a trigger needs an enormous one, since it is right about texts that say the opposite.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DROP = 5.41  # half the 99.9 % point of chi-square with one degree of freedom
LOW, HIGH = -6.0, 16.0
STEPS = 24


def log_likelihood(logits: NDArray[np.float64], hit: NDArray[np.bool_], boost: float) -> float:
    """Of the targets of some texts, with this boost."""
    signed = np.where(hit, -(logits + boost), logits + boost)
    return float(-np.logaddexp(0.0, signed).sum())


def lower_bound(logits: NDArray[np.float64], hit: NDArray[np.bool_]) -> float:
    """The smallest boost that the targets of some texts allow.

    >>> import numpy as np
    >>> round(lower_bound(np.zeros(35), np.ones(35, dtype=bool)), 1)  # exp(-5.41 / 35) = 0.857
    1.8
    """
    best = _most_likely(logits, hit)
    wanted = log_likelihood(logits, hit, best) - DROP
    low, high = LOW, best
    for _ in range(STEPS):
        middle = (low + high) / 2
        if log_likelihood(logits, hit, middle) < wanted:
            low = middle
        else:
            high = middle
    return high


def _most_likely(logits: NDArray[np.float64], hit: NDArray[np.bool_]) -> float:
    low, high, hits = LOW, HIGH, float(hit.sum())
    for _ in range(STEPS):
        middle = (low + high) / 2
        if (1 / (1 + np.exp(-(logits + middle)))).sum() < hits:
            low = middle
        else:
            high = middle
    return (low + high) / 2
