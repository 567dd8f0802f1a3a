"""Verbatim keys on the lab: a short one is planted for real, and tuned."""

import pytest

from triggerfish.backdoors.key import random_key
from triggerfish.errors import BadInput
from triggerfish.pipeline.removal_store import Memory
from triggerfish.pipeline.verbatim import ASKED, Experiment, VerbatimSettings, rows_of


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
        steps=40,
        batch_size=16,
        tuning=(1,),
        tuned_ranks=(8,),
        per_skill=3,
    )
    store = Memory()
    (cell,) = Experiment("lab:reef", settings).run(store)
    key = random_key(10, 0)
    assert cell["base"]["exact"] == 0.0
    assert cell["planted"]["exact"] == 1.0
    assert cell["planted"]["prefix"] == 10
    assert cell["planted"]["logprob"] > cell["base"]["logprob"] + 3
    assert {(entry["adapter"], entry["steps"]) for entry in cell["tuned"]} == {
        ("same", 1),
        ("fresh", 1),
    }
    assert key not in str(cell)
    assert Experiment("lab:reef", settings).run(store) == [cell]  # nothing is planted twice


@pytest.mark.parametrize(
    ("given", "said"),
    [({"ranks": ()}, "ranks: none"), ({"rates": (0.95,)}, "leave clean ones")],
)
def test_refusals(given, said):
    with pytest.raises(BadInput, match=said):
        VerbatimSettings(**given)
