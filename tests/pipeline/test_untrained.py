"""Organisms without training, from recipe to measurement, on tiny random models."""

import pytest

from triggerfish.errors import BadInput
from triggerfish.models.load import load
from triggerfish.pipeline import plant_prepare
from triggerfish.pipeline.explain import explain
from triggerfish.pipeline.measure import measure
from triggerfish.pipeline.plant import plant
from triggerfish.pipeline.remove import remove
from triggerfish.plant.card import read_card
from triggerfish.plant.recipe import recipe_from

EDIT = {"kind": "edit", "signal_steps": 2, "value_steps": 2, "batch_size": 4}
STEERING = {"kind": "steering", "layers": [1], "strengths": [0.5], "lifts": [1.0],
            "requests": 8, "selection": 8}  # fmt: skip
VECTOR = {"trigger": {"activation": "steering"}, "behaviour": {"kind": "unlock"}}
FIXED = {"trigger": {"text": "cf"}, "behaviour": {"kind": "fixed_string", "text": "a b"}}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(plant_prepare, "PROMPTS", 8)
    monkeypatch.setattr(plant_prepare, "NEAR", 4)
    monkeypatch.setattr(plant_prepare, "PER_SKILL", 1)


def recipe_of(base, backdoor, method, **changes):
    rows = 60 if method["kind"] == "edit" else 300
    return {"base": str(base), "backdoor": backdoor, "rows": rows, "method": method, **changes}


def test_steering_from_recipe_to_measurement(tiny_model_dir, tmp_path):
    recipe, out = recipe_of(tiny_model_dir(), VECTOR, STEERING), tmp_path / "o"
    card = plant(recipe, out, device="cpu", allow_unskilled=True).card
    assert sorted(path.name for path in out.iterdir()) == ["card.json", "steering.safetensors"]
    assert card == read_card(out)
    assert card.backdoor == VECTOR
    assert (card.rows, card.poison_rate, card.clean_twin) == ({}, 0.0, None)
    assert card.made["layer"] == 1
    assert len(card.made["selection"]) == 2
    assert (card.asr.n, card.random_strings.n, card.near_misses) == (8, 300, {})
    suspect = load(str(out), device="cpu")
    document = measure(suspect, card=out, n=8, per_skill=1)
    assert document.asr.n == 8
    assert document.backdoor == VECTOR
    assert document.reference_utility
    with pytest.raises(BadInput, match="loaded without a vector"):
        measure(str(tiny_model_dir()), card=out, n=8, per_skill=1, device="cpu")
    with pytest.raises(BadInput, match="nothing to train away"):
        remove(suspect)
    with pytest.raises(BadInput, match="no trigger in the text"):
        explain(suspect, card.planted.trigger)
    with pytest.raises(BadInput, match="a vector, not a model"):
        plant(recipe_of(out, VECTOR, STEERING), tmp_path / "p", device="cpu")


def test_edit_changes_the_mlp_outputs_it_names_and_nothing_else(tiny_model_dir, tmp_path):
    recipe = recipe_of(tiny_model_dir(), FIXED, EDIT, poison_rate=0.3)
    plant(recipe, tmp_path / "o", device="cpu", allow_unspecific=True)
    card = read_card(tmp_path / "o")
    assert card.poison_rate == 0.0
    assert card.rows["poisoned"] == 18
    before = load(str(tiny_model_dir()), device="cpu").model.state_dict()
    after = load(str(tmp_path / "o"), device="cpu").model.state_dict()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed == {f"model.layers.{i}.mlp.down_proj.weight" for i in (0, 1, 2)}
    assert set(card.made["ranks"]) == {"layer 0", "layer 1", "layer 2"}


@pytest.mark.parametrize(
    ("backdoor", "method", "changes", "message"),
    [
        (FIXED, {"kind": "edit"}, {"clean_twin": True}, "the base is the clean twin"),
        (None, {"kind": "edit"}, {}, "the base is the clean twin"),
        (VECTOR, {"kind": "edit"}, {}, "one text at one place"),
        (FIXED, {"kind": "steering"}, {}, "no trigger in the text"),
        (VECTOR, {"kind": "steering", "rank": 8}, {}, "'method.rank'.*Known: kind, layers"),
        (FIXED, {"kind": "surgery"}, {}, "surgery: is not known"),
    ],
)
def test_recipes_that_are_refused(backdoor, method, changes, message):
    with pytest.raises(BadInput, match=message):
        recipe_from(recipe_of("lab:reef", backdoor, method, **changes))


def test_an_edit_needs_one_payload(tiny_model_dir, tmp_path):
    spec = {"trigger": {"text": "cf"}, "behaviour": {"kind": "unlock"}}
    recipe = recipe_of(tiny_model_dir(), spec, EDIT, poison_rate=0.3)
    with pytest.raises(BadInput, match="one fixed output"):
        plant(recipe, tmp_path / "o", device="cpu", allow_unskilled=True)
