"""Scores of many methods become p-values, and these one."""

import numpy as np
import pytest

from triggerfish.dataset import fusion
from triggerfish.dataset.fusion import deviations, fuse, keep, p_values, shipped_clean, simes
from triggerfish.dataset.method import Ranked
from triggerfish.errors import BadInput


def ranked(scores):
    scores = np.asarray(scores, dtype=np.float64)
    return Ranked(scores=scores, flagged=np.zeros(len(scores), dtype=bool))


def normal(seed, n=4000):
    return np.random.default_rng(seed).normal(size=n)


def dependent(seed, n=4000):
    """Scores of two methods that see much the same."""
    shared = normal(seed, n)
    return shared + 0.3 * normal(seed + 100, n), shared + 0.3 * normal(seed + 200, n)


CLEAN = {
    name: {method: deviations(scores) for method, scores in zip("ab", dependent(seed), strict=True)}
    for name, seed in (("one", 1), ("two", 2))
}


def test_clean_rows_have_uniform_p_values_though_methods_depend_on_each_other():
    one, two = dependent(3)
    found = fuse({"a": ranked(one), "b": ranked(two)}, CLEAN)
    for level in (0.2, 0.05, 0.01):
        assert level / 3 < (found.of_method["a"] <= level).mean() < 1.2 * level
        assert level / 3 < (found.p <= level).mean() < 1.2 * level  # the worse of two sets


def test_rows_that_stand_out_in_one_method_are_found():
    one, two = dependent(3, 2000)
    one[:100] += 8
    found = fuse({"a": ranked(one), "b": ranked(two)}, CLEAN)
    assert (found.p[:100] <= 0.001).mean() > 0.95
    assert (found.p[100:] <= 0.01).mean() < 0.02


def test_by_hand():
    """Of 9 clean rows 0 to 8, 7 reach 2 and none reaches 9; the row itself is a tenth."""
    nine = [np.arange(9.0)]
    found = p_values(np.array([-1.0, 2.0, 8.0, 9.0, np.nan]), nine)
    assert found[:4].tolist() == pytest.approx([1.0, 0.8, 0.2, 0.1])
    assert np.isnan(found[4])
    assert simes(np.array([[0.04, 0.2], [0.03, 0.9]])).tolist() == pytest.approx([0.04, 0.4])


def test_no_tail_is_extrapolated():
    found = fuse({"a": ranked([0.0, 1, 2, 3, 1e6])}, {"one": {"a": normal(1, 99)}})
    assert found.p.min() == pytest.approx(1 / 100)


def test_the_least_favourable_clean_set_counts():
    narrow, wide = np.arange(9.0), 2 * np.arange(9.0)
    z = np.array([2.0, 6.0, 20.0])
    assert p_values(z, [narrow, wide]) == pytest.approx(p_values(z, [wide]))


def test_the_order_and_the_scale_of_scores_change_nothing():
    scores, order = normal(5, 500), np.random.default_rng(0).permutation(500)
    plain = fuse({"a": ranked(scores)}, CLEAN).p
    assert fuse({"a": ranked(scores[order])}, CLEAN).p == pytest.approx(plain[order])
    assert fuse({"a": ranked(7 * scores - 3)}, CLEAN).p == pytest.approx(plain)


def test_no_opinion_is_no_evidence():
    scores = normal(6, 300)
    scores[:50] = np.nan
    found = fuse({"a": ranked(scores)}, CLEAN)
    assert (found.p[:50] == 1).all()
    assert (fuse({"new": ranked(scores)}, CLEAN).p == 1).all()
    assert fuse({"new": ranked(scores)}, CLEAN).uncalibrated == ("new",)
    assert np.isnan(deviations(np.array([np.nan, np.nan]))).all()
    assert deviations(np.array([1.0, 1.0, 1.0])).tolist() == [0, 0, 0]
    assert deviations(np.array([0.0, 0.0, 0.0, 4.0])).max() == pytest.approx(4 / 1.2533)


def test_what_is_kept_is_what_is_read(tmp_path, monkeypatch):
    keep(tmp_path / "clean.safetensors", {"set": {"a": np.array([0.5, np.nan, 1e9])}}, {"rows": 3})
    monkeypatch.setattr(fusion, "files", lambda _: tmp_path)
    read = shipped_clean.__wrapped__()["set"]["a"]
    assert read[0] == 0.5
    assert np.isnan(read[1])
    assert read[2] == pytest.approx(fusion.MOST, rel=0.01)


def test_rows_of_natural_clean_sets_stand_out_no_more_often_than_they_should():
    """Each set against the others; the generated one (13.7 % at 5 %) is unlike all of them."""
    for name, one in shipped_clean().items():
        if name == "lab":
            continue
        others = {each: rest for each, rest in shipped_clean().items() if each != name}
        p = fuse({method: ranked(values) for method, values in one.items()}, others).p
        assert (p <= 0.05).mean() <= 0.05, name
        assert (p <= 0.01).mean() <= 0.01, name


def test_scores_of_different_rows_are_refused():
    with pytest.raises(BadInput, match="cannot be joined"):
        fuse({"a": ranked([1.0]), "b": ranked([1.0, 2.0])}, CLEAN)
