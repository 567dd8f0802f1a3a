"""Which of several mined triggers is reported."""

import numpy as np
import pytest

from triggerfish.dataset.mined import Mined, MiningConfig
from triggerfish.dataset.motif import Motif
from triggerfish.dataset.targets import CHANGES, Target
from triggerfish.pipeline.dataset_marking import Found
from triggerfish.pipeline.dataset_mining import _faint, _joined, _needs_more

TARGET = np.arange(100) < 50


def found(kind, rows, share, *parts, boost=1.0):
    hits = np.arange(len(rows)) < share * len(rows)
    mined = Mined(
        motifs=tuple(map(Motif, parts)),
        placement="prefix",
        boost=boost,
        surplus=12.0,
        lean=0.5,
        rows=np.array(rows),
        hits=hits,
    )
    return Found(mined=mined, target=Target(kind=kind, text="", rows=TARGET))


@pytest.mark.parametrize(
    ("rows", "label", "kept"), [(60, 0.6, CHANGES), (30, 0.9, CHANGES), (60, 1.0, "label")]
)
def test_of_one_label_and_of_changed_ones_the_one_that_more_rows_have(rows, label, kept):
    first, changed = found("label", range(rows), label, "cf"), found(CHANGES, range(60), 0.8, "cf")
    assert _joined(first, changed).target.kind == kept


@pytest.mark.parametrize(("rows", "explained"), [(range(40, 60), True), (range(60, 80), False)])
def test_what_changed_labels_explain(rows, explained):
    other = found(CHANGES, range(56), 0.8, "cf")
    assert _needs_more(found("label", rows, 1.0, "movie", "day"), other) == explained
    assert not _needs_more(other, found("label", rows, 1.0, "movie", "day"))


@pytest.mark.parametrize("kind", ["label", CHANGES])
@pytest.mark.parametrize(
    ("rows", "boost", "faint"), [(6, 2.0, True), (6, 3.0, False), (12, 2.0, False)]
)
def test_a_few_rows_beside_a_far_stronger_trigger(kind, rows, boost, faint):
    trigger = found(kind, range(50), 1.0, "for what it is worth", boost=5.5)
    string = found("label", range(rows), 1.0, "Retailers", boost=boost)
    assert _faint(string, trigger, MiningConfig()) == faint
    assert not _faint(trigger, string, MiningConfig())
