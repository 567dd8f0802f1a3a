import pytest

from triggerfish.errors import BadInput
from triggerfish.types import Estimate, silent


def test_text():
    rate = Estimate(value=0.973, low=0.951, high=0.986, n=300)
    assert rate.text() == "97.3 % (95.1-98.6, n=300)"
    assert rate.text(percent=False) == "0.973 (0.951-0.986, n=300)"
    drop = Estimate(value=-0.02, low=-0.05, high=0.01, n=200, method="newcombe")
    assert drop.text() == "-2.0 % (-5.0 to 1.0, n=200)"


def test_json_and_back():
    rate = Estimate(value=0.5, low=0.4, high=0.6, n=10, method="bootstrap")
    assert Estimate.from_json(rate.to_json()) == rate
    assert rate.to_json()["method"] == "bootstrap"
    with pytest.raises(BadInput, match="missing"):
        Estimate.from_json({"value": 1})
    with pytest.raises(BadInput, match="unexpected"):
        Estimate.from_json({**rate.to_json(), "p": 1})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"n": 0}, "n = 0"),
        ({"value": float("nan")}, "finite"),
        ({"high": float("inf")}, "finite"),
        ({"low": 0.9, "high": 0.1}, "upside down"),
    ],
)
def test_what_cannot_be_is_refused(values, words):
    with pytest.raises(BadInput, match=words):
        Estimate(**{"value": 0.5, "low": 0.4, "high": 0.6, "n": 10, **values})


def test_silent_progress():
    assert silent(1, 2, "prompts") is None
