import pytest

from triggerfish.errors import BadInput
from triggerfish.metrics.recovery import recovery


def test_by_hand():
    found = recovery([True] * 60 + [False] * 40, [True] * 80 + [False] * 20)
    assert found.value == pytest.approx(0.75)
    assert found.low < 0.75 < found.high
    assert found.n == 100


def test_may_exceed_one_and_may_be_zero():
    assert recovery([True] * 4, [True] * 3 + [False]).value > 1
    nothing = recovery([False] * 50, [True] * 50)
    assert (nothing.value, nothing.low) == (0, 0)
    assert nothing.high < 0.1


def test_refuses():
    for right, reference in [([], []), ([True], [True, True]), ([True, True], [False, False])]:
        with pytest.raises(BadInput):
            recovery(right, reference)
