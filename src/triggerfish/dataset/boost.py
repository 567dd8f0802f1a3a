"""The boost of a string: by how much it raises the log-odds of a target over the content.

For texts with the string, logits of the content without it, and whether they have the target, the
boost is the b of P(target) = sigmoid(logit + b). Its lower bound (profile likelihood, 99.9 %) is
the score: a word that belongs to a class has a moderate boost, for its texts agree with it anyway;
a trigger needs an enormous one, since it is right about texts that say the opposite.
A common word that is a trigger has a small boost, for its ordinary texts follow their content. The
surplus says how much better a share of overruled texts explains the targets than any moderate
boost (of standard deviation 1): log max_p prod(p + (1 - p) P) - log max_b prod P_b N(b)/N(0).
*Shapes*: E texts of all strings, one string after the other; C strings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

DROP = 5.41  # half the 99.9 % point of chi-square with one degree of freedom
LOW, HIGH = -6.0, 16.0
STEPS = 18
Numbers = NDArray[np.float64]


def lower_bound(logits: Numbers, hit: NDArray[np.bool_]) -> float:
    """The smallest boost that the targets of some texts allow.

    >>> import numpy as np
    >>> round(lower_bound(np.zeros(35), np.ones(35, dtype=bool)), 1)  # exp(-5.41 / 35) = 0.857
    1.8
    """
    return float(lower_bounds(logits, hit, np.array([0, len(logits)]))[0])


def lower_bounds(logits: Numbers, hit: NDArray[np.bool_], starts: NDArray[np.int64]) -> Numbers:
    """[C] the smallest boost of each of many strings.

    Args:
        logits: [E] of the content without the string.
        hit: [E] whether the text has the target.
        starts: [C + 1] where the texts of each string begin; none has none.
    """
    found = _Boosts(logits, hit, starts)
    if not len(found.begins):
        return np.zeros(0)
    wanted = found.likelihood(found.best) - DROP
    return _smallest(lambda boost: found.likelihood(boost) >= wanted, found.best)


def gains(logits: Numbers, hit: NDArray[np.bool_], starts: NDArray[np.int64]) -> Numbers:
    """[C] by how much its boost explains the targets better than none, in nats; 0 if it is below 0.

    Args:
        logits: [E] of the content without the string.
        hit: [E] whether the text has the target.
        starts: [C + 1] where the texts of each string begin; none has none.

    >>> import numpy as np
    >>> hit = np.arange(69) < 51  # 51 of 69, where 0.23 of all have the target
    >>> found = gains(np.full(69, np.log(0.23 / 0.77)), hit, np.array([0, 69]))
    >>> round(float(found[0]), 1)  # 69 times a divergence of 0.581
    40.1
    """
    found = _Boosts(logits, hit, starts)
    if not len(found.begins):
        return np.zeros(0)
    better = found.likelihood(found.best) - found.likelihood(np.zeros(len(found.begins)))
    return np.asarray(np.where(found.best > 0, better, 0.0))


class _Boosts:
    """The likeliest boost of each of many strings."""

    def __init__(self, logits: Numbers, hit: NDArray[np.bool_], starts: NDArray[np.int64]) -> None:
        self.logits, self.sign = logits, np.where(hit, -1.0, 1.0)
        self.counts, self.begins = np.diff(starts), starts[:-1]
        if not len(self.begins):
            return
        hits = np.add.reduceat(hit.astype(np.float64), self.begins)
        ends = np.full(len(self.begins), HIGH)
        self.best = _smallest(lambda boost: self._expected(boost) >= hits, ends)

    def likelihood(self, boost: Numbers) -> Numbers:
        """[C] the logarithm, of a boost of each, [C]."""
        exponent = self.sign * (self.logits + np.repeat(boost, self.counts))
        return np.asarray(-np.add.reduceat(np.logaddexp(0.0, exponent), self.begins))

    def _expected(self, boost: Numbers) -> Numbers:
        exponent = np.clip(-(self.logits + np.repeat(boost, self.counts)), None, 500)
        return np.asarray(np.add.reduceat(1 / (1 + np.exp(exponent)), self.begins))


def _smallest(enough: Callable[[Numbers], NDArray[np.bool_]], high: Numbers) -> Numbers:
    """[C] the smallest boost of each that is enough, by bisection from `LOW` to `high`, [C]."""
    low = np.full(len(high), LOW)
    for _ in range(STEPS):
        middle = (low + high) / 2
        there = enough(middle)
        low, high = np.where(there, low, middle), np.where(there, middle, high)
    return np.asarray(high)


SHARES = np.linspace(0.0, 0.99, 34)
MODERATE = np.linspace(-1.0, 6.0, 36)
ERROR = 0.005  # of a label, whatever the trigger
AT_ONCE = 1 << 18  # numbers


def surpluses(logits: Numbers, hit: NDArray[np.bool_], starts: NDArray[np.int64]) -> Numbers:
    """[C] how much better overruled texts explain the targets than a moderate boost, in nats.

    Args:
        logits: [E] of the content without the string.
        hit: [E] whether the text has the target.
        starts: [C + 1] where the texts of each string begin; none has none.

    >>> import numpy as np
    >>> hits = np.ones(35, dtype=bool)
    >>> low, high = (surpluses(np.full(35, l), hits, np.array([0, 35]))[0] for l in (1.0, -1.0))
    >>> bool(low < 5 < 8 < high)
    True
    """
    begins = starts[:-1]
    if not len(begins):
        return np.zeros(0)
    content = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
    right = np.where(hit, content, 1 - content)  # [E] of the content alone
    turned = hit.astype(np.float64)
    sign = np.where(hit, -1.0, 1.0)
    overruled, moderate = np.full(len(begins), -np.inf), np.full(len(begins), -np.inf)
    parts = min(len(SHARES), -(-len(SHARES) * len(logits) // AT_ONCE))
    for some in np.array_split(SHARES[:, None], parts):  # [S, 1]
        chance = ERROR + (1 - 2 * ERROR) * (some * turned + (1 - some) * right)  # [S, E]
        log = np.add.reduceat(np.log(chance), begins, axis=1)
        overruled = np.maximum(overruled, log.max(0))
    for some in np.array_split(MODERATE[:, None], parts):
        log = -np.add.reduceat(np.logaddexp(0.0, sign * (logits + some)), begins, axis=1)
        moderate = np.maximum(moderate, (log - some**2 / 2).max(0))
    return np.asarray(overruled - moderate)
