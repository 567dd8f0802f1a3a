"""Rates, differences of rates and bootstrapped statistics, each with a 95 % interval.

Sources: Wilson (1927), JASA 22; Newcombe (1998), Statistics in Medicine 17, method 10 (difference)
and Donner and Zou (2012), Stat Methods Med Res 21 (ratio); Efron (1979) for the bootstrap.

Empty input is an error everywhere: a rate over nothing is not 0.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from triggerfish.errors import BadInput
from triggerfish.types import Estimate

Z95 = 1.959963984540054  # the 97.5 % point of the standard normal


def wilson(hits: int, n: int) -> Estimate:
    """Rate `hits / n` with Wilson's score interval at 95 %.

    Raises:
        BadInput: n is not positive, or hits is not within 0..n.
    """
    if n <= 0:
        raise BadInput(f"n = {n}", "a rate needs at least one case", "give it at least one case")
    if not 0 <= hits <= n:
        raise BadInput(
            f"hits = {hits}, n = {n}", "hits must lie within 0 and n", "count the cases again"
        )
    share = hits / n
    z2 = Z95 * Z95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return Estimate(value=share, low=low, high=high, n=n, method="wilson")


def rate(flags: Sequence[bool]) -> Estimate:
    """Share of true flags, with Wilson's interval.

    Raises:
        BadInput: there are no flags.
    """
    return wilson(sum(bool(flag) for flag in flags), len(flags))


def difference(a: Sequence[bool], b: Sequence[bool]) -> Estimate:
    """`rate(a) - rate(b)` of two independent samples, with Newcombe's hybrid score interval.

    The `n` of the result is the size of the smaller sample.

    Raises:
        BadInput: one of the samples is empty.
    """
    first, second = rate(a), rate(b)
    gap = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(
        value=gap,
        low=max(-1.0, gap - down),
        high=min(1.0, gap + up),
        n=min(first.n, second.n),
        method="newcombe",
    )


def ratio(a: Estimate, b: Estimate) -> Estimate:
    """`a / b` of two independent rates, with the MOVER-R interval from their own limits.

    It is defined at a rate of 0, where intervals on the log scale are not. The `n` of the result
    is the smaller of the two.

    Raises:
        BadInput: the rate in the denominator is 0.
    """
    if b.value <= 0:
        raise BadInput(
            f"a ratio to {b.text()}",
            "the rate in the denominator must be above 0",
            "use a reference that is right at least once",
        )
    product = a.value * b.value
    down = a.low * (2 * a.value - a.low)
    up = a.high * (2 * a.value - a.high)
    # The lower limit in the form that does not divide by 2b - high, which may be 0.
    low_root = math.sqrt(max(0.0, product**2 - down * b.high * (2 * b.value - b.high)))
    low = down / (product + low_root) if product + low_root > 0 else 0.0
    width = b.low * (2 * b.value - b.low)
    high = (product + math.sqrt(max(0.0, product**2 - up * width))) / width
    return Estimate(
        value=a.value / b.value, low=max(0.0, low), high=high, n=min(a.n, b.n), method="mover-r"
    )


def bootstrap(
    values: ArrayLike,
    rng: np.random.Generator,
    statistic: Callable[[NDArray[np.float64]], float] | None = None,
    draws: int = 2000,
) -> Estimate:
    """A statistic of the rows of `values` (default: mean) with a 95 % percentile interval.

    Args:
        values: [N] or [N, ...]; rows are drawn with replacement.
        rng: a generator of `triggerfish.seeding`.
        statistic: from the rows to a number.
        draws: number of resamples.

    Raises:
        BadInput: there are no rows, or a value is not finite.
    """
    rows = np.asarray(values, dtype=np.float64)  # [N, ...]
    if rows.ndim == 0 or len(rows) == 0:
        raise BadInput("0 values", "a bootstrap needs at least one", "give it at least one value")
    if not np.isfinite(rows).all():
        bad = int((~np.isfinite(rows)).sum())
        raise BadInput(
            f"{bad} of {rows.size} values are not finite",
            "a statistic of them has no meaning",
            "find out which example gave them",
        )
    function = statistic or (lambda sample: float(sample.mean()))
    picks = rng.integers(0, len(rows), size=(draws, len(rows)))  # [draws, N]
    spread = np.array([function(rows[pick]) for pick in picks])  # [draws]
    low, high = np.quantile(spread, [0.025, 0.975])
    return Estimate(
        value=float(function(rows)),
        low=float(low),
        high=float(high),
        n=len(rows),
        method="bootstrap",
    )
