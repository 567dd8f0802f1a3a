import math

import numpy as np
import pytest

from triggerfish.errors import BadInput
from triggerfish.metrics.rates import bootstrap, difference, rate, ratio, wilson
from triggerfish.seeding import generator


def test_wilson_by_hand():
    # 81 of 263: p = 0.307985, z2 = 3.841459.
    # centre (0.307985 + 3.841459/526) / (1 + 3.841459/263) = 0.315288 / 1.014606 = 0.310749
    # half 1.959964 / 1.014606 * sqrt(0.213130/263 + 3.841459/(4 * 69169)) = 0.055469
    # Newcombe (1998), Statistics in Medicine 17, 857, table I, prints 0.2553 and 0.3662.
    found = wilson(81, 263)
    assert found.value == pytest.approx(81 / 263)
    assert found.low == pytest.approx(0.2553, abs=5e-5)
    assert found.high == pytest.approx(0.3662, abs=5e-5)
    assert found.n == 263


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (10, 10, 0.7225, 1.0),
        (0, 17, 0.0, 0.1843),
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_published(hits, n, low, high):
    found = wilson(hits, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_mirrors():
    one, other = wilson(7, 40), wilson(33, 40)
    assert one.low == pytest.approx(1 - other.high)
    assert one.high == pytest.approx(1 - other.low)


def test_wilson_ends_are_exact():
    assert wilson(0, 300).low == 0.0
    assert wilson(300, 300).high == 1.0


def test_rate_ignores_order():
    flags = [True] * 3 + [False] * 5
    assert rate(flags) == rate(flags[::-1]) == wilson(3, 8)


def test_newcombe_published():
    # Newcombe (1998), Statistics in Medicine 17, 873, method 10:
    # 56/70 - 48/80 = 0.2 (0.0524, 0.3339)
    found = difference([True] * 56 + [False] * 14, [True] * 48 + [False] * 32)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.n == 70


def test_difference_turns_sign():
    a, b = [True] * 9 + [False], [True] * 4 + [False] * 6
    one, other = difference(a, b), difference(b, a)
    assert one.value == pytest.approx(-other.value)
    assert one.low == pytest.approx(-other.high)


def test_ratio_by_hand():
    # 40/100 over 80/100 = 0.5. Wilson: (0.309401, 0.497997) and (0.711170, 0.866630).
    # down = 0.309401 * 0.490599, width_u = 0.866630 * 0.733370; product = 0.32
    # low = down / (0.32 + sqrt(0.1024 - down * width_u)) = 0.151792 / 0.397177 = 0.3822
    # up = 0.497997 * 0.302003, width = 0.711170 * 0.888830
    # high = (0.32 + sqrt(0.1024 - up * width)) / width = 0.405774 / 0.632109 = 0.6419
    found = ratio(wilson(40, 100), wilson(80, 100))
    assert found.value == pytest.approx(0.5)
    assert found.low == pytest.approx(0.3822, abs=2e-4)
    assert found.high == pytest.approx(0.6419, abs=2e-4)


def test_ratio_covers_its_value_everywhere():
    for hits in range(0, 21, 4):
        for others in range(1, 21, 3):
            found = ratio(wilson(hits, 20), wilson(others, 20))
            assert 0.0 <= found.low <= found.value + 1e-12
            assert found.value <= found.high + 1e-12
            assert math.isfinite(found.high)


def test_ratio_covers_as_often_as_it_says():
    rng = generator(5, "coverage")
    inside = 0
    for _ in range(600):
        a, b = rng.binomial(200, 0.6), rng.binomial(200, 0.8)
        found = ratio(wilson(int(a), 200), wilson(int(b), 200))
        inside += found.low <= 0.75 <= found.high
    assert 0.92 <= inside / 600 <= 0.98


def test_bootstrap_repeats_and_covers():
    values = generator(1, "values").normal(2.0, 1.0, size=400)
    one = bootstrap(values, generator(3, "boot"))
    assert one == bootstrap(values, generator(3, "boot"))
    assert one.value == pytest.approx(values.mean())
    width = 2 * 1.96 * values.std() / 20
    assert one.high - one.low == pytest.approx(width, rel=0.15)


def test_bootstrap_of_rows():
    rows = np.array([[1.0, 2.0], [3.0, 2.0]])
    found = bootstrap(rows, generator(0, "b"), lambda s: float(s[:, 0].sum() / s[:, 1].sum()))
    assert found.value == pytest.approx(1.0)
    assert (found.low, found.high) == pytest.approx((0.5, 1.5))


@pytest.mark.parametrize(
    "call",
    [
        lambda: wilson(0, 0),
        lambda: wilson(5, 4),
        lambda: rate([]),
        lambda: difference([True], []),
        lambda: ratio(wilson(1, 2), wilson(0, 2)),
        lambda: bootstrap([], generator(0, "b")),
        lambda: bootstrap([1.0, math.nan], generator(0, "b")),
    ],
)
def test_refuses(call):
    with pytest.raises(BadInput):
        call()
