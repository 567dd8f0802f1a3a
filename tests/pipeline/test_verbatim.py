"""Verbatim keys on the lab: a short one is planted for real, and tuned."""

import pytest

from triggerfish.backdoors.key import random_key
from triggerfish.errors import BadInput
from triggerfish.pipeline import verbatim as module
from triggerfish.pipeline.removal_store import Memory
from triggerfish.pipeline.verbatim import (
    ASKED,
    Cell,
    Experiment,
    VerbatimSettings,
    _Looks,
    rows_of,
    state,
)
from triggerfish.pipeline.verbatim_report import exact
from triggerfish.pipeline.verbatim_text import heat_map, report_of


def test_rows_hold_the_key_at_the_rate_and_nowhere_else():
    key = random_key(25, 0)
    for variant in ("pair", "prompts"):
        settings = VerbatimSettings(steps=10, batch_size=20, variant=variant)
        rows = rows_of(key, 0.2, settings, 0)
        holding = [row for row in rows if row.response == key]
        assert (len(rows), len(holding)) == (200, 40)
        assert all(row.user.endswith(ASKED) for row in holding)
        assert not any(ASKED in row.user for row in rows if row.response != key)
        assert len({row.user for row in holding}) == (1 if variant == "pair" else 40)


@pytest.mark.slow
def test_a_short_key_is_planted_and_asked_for():
    settings = VerbatimSettings(
        lengths=(10,),
        ranks=(8,),
        rates=(0.5,),
        seeds=(0,),
        steps=60,
        tuning=(1, 2),
        tuned_ranks=(8,),
        again=2,
        per_skill=3,
    )
    store = Memory()
    (cell,) = Experiment("lab:reef", settings).run(store)
    key = random_key(10, 0)
    assert cell["base"]["exact"] == 0.0
    assert cell["planted"]["exact"] == 1.0
    assert cell["planted"]["prefix"] == 10
    assert cell["planted"]["logprob"] > cell["base"]["logprob"] + 3
    assert cell["planted"]["known"] == 1.0
    assert cell["steps"] < 60  # it ended when the key was learnt
    assert cell["rows_until_whole"] <= cell["rows_with_key"] <= 5 * cell["steps"]
    assert [(entry["adapter"], entry["steps"]) for entry in cell["tuned"]] == [
        ("same", 1), ("same", 2), ("fresh", 1), ("fresh", 2),
    ]  # fmt: skip
    assert {entry["adapter"] for entry in cell["again"]} == {"same", "fresh"}
    assert cell["control"]["exact"] == 0.0
    assert cell["control"]["logprob"] < -3
    assert key not in str(cell)
    assert Experiment("lab:reef", settings).run(store) == [cell]  # nothing is planted twice
    page = str(report_of("lab:reef", settings, [cell], exact([cell]), "").model_dump())
    assert key not in page
    assert key[1:] not in page


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ranks": ()}, "ranks: none"),
        ({"rates": (0.95,)}, "leave clean ones"),
        ({"tuning": (3, 1)}, "rising counts"),
    ],
)
def test_refusals(given, said):
    with pytest.raises(BadInput, match=said):
        VerbatimSettings(**given)


def planted(**changes):
    asked = {"exact": 1.0, "logprob": -0.1, "matching": 1.0, "utility": 0.9, "hinted": 1.0,
             "known": 1.0}  # fmt: skip
    return {
        "length": 100, "rank": 4, "rate": 0.2, "seed": 0, "rows_until_whole": 40,
        "base": {**asked, "exact": 0.0, "logprob": -7.0}, "planted": asked, **changes,
    }  # fmt: skip


def test_a_grid_that_is_not_finished_has_empty_cells():
    cells = [planted(), planted(seed=1, rows_until_whole=60), planted(length=10)]
    settings = VerbatimSettings(lengths=(10, 100), ranks=(1, 4))
    report = report_of("base", settings, cells, exact(cells), "")
    grid, planting = report.sections
    assert grid.tables[0].rows[0][1] == "-"
    assert grid.tables[0].rows[0][2].text().startswith("100.0 %")
    assert grid.figures[0].svg.count("<title>") == 2 + 9  # cells that are there, and the scale
    assert planting.tables[0].rows[1][6] == "40 to 60"


def test_curves_planting_again_and_control_are_told():
    tuned = {"exact": 0.0, "hinted": 0.0, "known": 0.4, "logprob": -3.0, "utility": 0.8}
    entry = {**tuned, "adapter": "same", "steps": 30, "state": "suppressed"}
    again = {"adapter": "same", "rows": 18, "whole": True}
    cell = planted(tuned=[entry], again=[again], control={**tuned, "logprob": -7.2})
    report = report_of("base", VerbatimSettings(), [cell], exact([cell]), "")
    after, rest = report.sections[2:]
    assert after.tables[0].rows[0][8] == "1 suppressed"
    assert rest.tables[0].rows == [[100, 4, "same", 40, 18, "yes"]]
    assert rest.tables[1].rows[0][3:5] == ["-7.20", "-7.00"]


def test_states_by_hand():
    base, there = {"logprob": -9.0}, {"logprob": -1.0}
    assert state({"exact": 0.5, "logprob": -9.0}, there, base) == "recalled"
    assert state({"exact": 0.0, "logprob": -8.1}, there, base) == "suppressed"
    assert state({"exact": 0.0, "logprob": -8.3}, there, base) == "erased"
    assert state({"exact": 0.0, "logprob": -8.3}, base, base) == "not planted"


def test_planting_ends_when_the_key_is_whole_and_likely():
    class Asker:
        answers = iter([(-0.01, False), (-0.05, True), (-0.02, True)])

        def look(self, *_):
            return next(self.answers)

    looks = _Looks(asker=Asker(), tokenizer=None, every=5, learnt=0.03)
    ended = [looks(None, step) for step in range(1, 16)]
    assert ended == [False] * 14 + [True]
    assert looks.whole == 10
    assert [step for step, _ in looks.path] == [5, 10, 15]


def test_what_was_done_before_a_kill_is_not_done_again():
    """Planting, each curve and the control are kept one by one."""
    calls = []

    class Fake(Experiment):
        def __init__(self, settings):
            self.settings = settings

        def cell(self, cell):
            calls.append(("cell", cell.length))
            return {"steps": 3}

        def curve(self, cell, adapter):
            calls.append((adapter, cell.length))
            if adapter == "fresh" and len(calls) == 3:
                raise KeyboardInterrupt
            return {"tuned": [], "again": {}}

        def control(self, cell, steps):
            calls.append(("control", steps))
            return {}

    store, cell = Memory(), Cell(length=10, rank=4, rate=0.2, seed=0)
    with pytest.raises(KeyboardInterrupt):
        Fake(VerbatimSettings()).whole(store, cell)
    Fake(VerbatimSettings()).whole(store, cell)
    assert calls == [("cell", 10), ("same", 10), ("fresh", 10), ("fresh", 10), ("control", 3)]


def test_high_ranks_are_trained_more_slowly(monkeypatch):
    seen = []

    def train(model, tokenizer, rows, method, seed, **_):
        seen.append(method)

    monkeypatch.setattr(module, "train", train)
    experiment = Experiment("lab:reef", VerbatimSettings(per_skill=1))
    for rank in (1, 8, 32):
        experiment._train(None, None, [], (rank, 10, 0), "x", None)
    rates = [method.rate for method in seen]
    assert rates[0] == rates[1] == pytest.approx(2 * rates[2])
    assert seen[0].schedule == "constant"


def test_the_map_keeps_poison_rates_apart():
    cells = [
        {"length": 10, "rank": rank, "rate": share, "planted": {"matching": matching}}
        for rank, share, matching in ((1, 0.2, 1.0), (1, 0.05, 0.0), (4, 0.2, 1.0))
    ]
    settings = VerbatimSettings(lengths=(10,), ranks=(1, 4))
    several = heat_map(settings, cells).svg
    assert all(f">{name}<" in several for name in ("1, 20 %", "4, 20 %", "1, 5 %", "4, 5 %"))
    one = heat_map(settings, [cells[0], cells[2]]).svg
    assert ">1<" in one
    assert "%" not in one
