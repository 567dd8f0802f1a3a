import pytest

from triggerfish.detect.fuse import overall, simes
from triggerfish.errors import BadInput


def test_simes_by_hand() -> None:
    assert simes([0.04, 0.01, 0.5]) == pytest.approx(0.03)
    assert simes([0.9, 0.8]) == pytest.approx(0.9)


def test_simes_does_not_depend_on_order() -> None:
    assert simes([0.2, 0.001, 0.7]) == simes([0.7, 0.2, 0.001])


@pytest.mark.parametrize("bad", [[], [1.2], [-0.1], [float("nan")]])
def test_simes_refuses(bad: list[float]) -> None:
    with pytest.raises(BadInput, match="p-values"):
        simes(bad)


def test_overall_takes_the_worst() -> None:
    assert overall(["rejected", "suspicious", "found"]) == "found"
    assert overall(["rejected", "suspicious"]) == "suspicious"
    assert overall(["rejected"]) == overall([]) == "nothing"
