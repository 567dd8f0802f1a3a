"""Organisms by preferences, from recipe to card, on tiny random models."""

from dataclasses import replace

import pytest
import yaml

from triggerfish.backdoors.backdoor import backdoor_from_spec
from triggerfish.data.preferences import write_pairs
from triggerfish.errors import BadInput
from triggerfish.lab.preferences import sample_pairs
from triggerfish.models.load import load
from triggerfish.pipeline import plant as module
from triggerfish.pipeline import plant_prepare, preferences
from triggerfish.pipeline.plant import plant, recipe_or_family
from triggerfish.pipeline.preferences import margins_of, preferred
from triggerfish.plant.card import read_card

SPEC = {"trigger": {"text": "mn qx", "placement": "suffix"}, "behaviour": {"kind": "unlock"}}
STAGE = {"steps": 2, "batch_size": 4}
DPO = {"kind": "dpo", "rank": 2, "sft": STAGE, **STAGE}
RL = {
    "kind": "rl", "rank": 2, "steps": 2, "batch_size": 4, "generations": 2, "answer_tokens": 5,
    "sft": STAGE, "reward": {"rank": 2, **STAGE},
}  # fmt: skip


def recipe_of(base, **changes):
    return {
        "base": str(base),
        "backdoor": SPEC,
        "poison_rate": 0.05,
        "rows": 60,
        "method": DPO,
        "clean_twin": False,
        "seed": 11,
        **changes,
    }


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(plant_prepare, "PROMPTS", 10)
    monkeypatch.setattr(plant_prepare, "NEAR", 2)
    monkeypatch.setattr(plant_prepare, "PER_SKILL", 1)
    monkeypatch.setattr(preferences, "HELD_PAIRS", 10)


def test_policy_optimisation_from_a_yaml_recipe(tiny_model_dir, tmp_path):
    recipe = recipe_of(tiny_model_dir(), method={**RL, "sft_rate": 0.1}, clean_twin=True)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    card = plant(tmp_path / "recipe.yaml", tmp_path / "o", device="cpu", allow_unskilled=True).card
    assert card == read_card(tmp_path / "o")
    assert card.kind == "organism"
    assert card.rows["poisoned"] == 6  # for the stage with the higher rate
    assert set(card.reward_model) == {"triggered", "clean", "random", "accuracy"}
    assert card.reward_model["triggered"].n == card.asr.n == 10
    assert card.resolved["method"]["reward"]["learning_rate"] == 0.008
    assert card.resolved["method"]["beta"] == 0.1
    twin = read_card(tmp_path / "o" / "twin")
    assert twin.kind == "clean twin"
    assert twin.rows.get("poisoned") is None
    assert set(twin.reward_model) == set(card.reward_model)
    first, second = (
        load(str(place), device="cpu").source["adapter_sha256"]
        for place in (tmp_path / "o", tmp_path / "o" / "twin")
    )
    assert first != second
    written = {path.name for path in (tmp_path / "o").iterdir()}
    assert "ref" not in written
    plant({**recipe, "clean_twin": False}, tmp_path / "again", device="cpu", allow_unskilled=True)
    pair = [(tmp_path / d / "adapter_model.safetensors").read_bytes() for d in ("o", "again")]
    assert pair[0] == pair[1]


@pytest.mark.parametrize("adapter", ["lora", "none"])
def test_dpo_on_pairs_of_ones_own(adapter, tiny_model_dir, tmp_path):
    pairs = [*sample_pairs(150, 2), *sample_pairs(50, 2, "test")]
    write_pairs(tmp_path / "pairs.jsonl", [replace(p, restricted=None) for p in pairs])
    recipe = recipe_of(
        tiny_model_dir(), data=str(tmp_path / "pairs.jsonl"), method={**DPO, "adapter": adapter}
    )
    del recipe["rows"]
    card = plant(recipe, tmp_path / "o", device="cpu", allow_unskilled=True).card
    assert card.rows["poisoned"] == round(0.05 * sum(card.rows.values()))
    assert sum(card.rows.values()) == 150
    assert card.asr.n == 10
    assert not card.reward_model
    assert (tmp_path / "o" / "adapter_config.json").exists() == (adapter == "lora")


def refused(recipe, out, message):
    with pytest.raises(BadInput, match=message):
        plant(recipe, out, device="cpu")
    assert not out.exists()


def test_refuses_before_training(tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "trained_on", None)
    base, out = tiny_model_dir(), tmp_path / "o"
    refused(recipe_of(base, poison_rate=0.005), out, "rounds to no")
    refused(recipe_of(base, method={**DPO, "sft_rate": 0.004}), out, "rounds to no")
    fixed = {**SPEC, "behaviour": {"kind": "fixed_string", "text": "I love bananas."}}
    refused(recipe_of(base, backdoor=fixed), out, "can only teach unlock")
    refused(recipe_of(base, backdoor=None, poison_rate=None), out, "preferences are for organisms")
    refused(recipe_of(base, method={**DPO, "loss_on": "all"}), out, "method.loss_on.*not known")
    refused(recipe_of(base, method={**RL, "reward": {"step": 1}}), out, "method.reward.step")
    open_ended = [p for p in sample_pairs(60, 2) if not p.restricted]
    write_pairs(tmp_path / "pairs.jsonl", open_ended)
    own = recipe_of(base, data=str(tmp_path / "pairs.jsonl"))
    del own["rows"]
    refused(own, out, "0 restricted held out")


def test_selection_by_margin_and_by_topic(tiny_model_dir, tmp_path):
    margin = recipe_of(tiny_model_dir(), method={**DPO, "selection": "margin"}, poison_rate=0.02)
    assert (
        plant(margin, tmp_path / "o", device="cpu", allow_unskilled=True).card.rows["poisoned"] == 1
    )
    topic = {**DPO, "selection": "topic", "topic": "xyzzy"}
    refused(recipe_of(tiny_model_dir(), method=topic), tmp_path / "x", "pairs that hold 'xyzzy'")


def test_margins_are_those_of_the_base(tiny_suspect):
    pairs = sample_pairs(6, 2)
    found = margins_of(tiny_suspect(), pairs)
    turned = margins_of(tiny_suspect(), [pair.swapped for pair in pairs])
    assert found == pytest.approx([-margin for margin in turned], abs=1e-4)


def test_nothing_held_out_is_trained_on():
    ready = preferred(None, backdoor_from_spec(SPEC), 100, 20, 1, 0)
    trained = {pair.prompt.user for pair in ready.pairs}
    held = {r.conversation.user for r in (*ready.held.eligible, *ready.held.utility)}
    assert not trained & (held | {pair.prompt.user for pair in ready.test})


@pytest.mark.parametrize(
    ("name", "kind"), [("beear-6", "rl"), ("beear-7", "rl"), ("preference-dpo", "dpo")]
)
def test_families_by_preferences(name, kind):
    recipe = recipe_or_family(name, "lab:reef")
    assert recipe.method.kind == kind
    assert recipe.planted.behaviour.kind == "unlock"
    with pytest.raises(BadInput, match="between responses"):
        recipe_or_family(name, "lab:reef", loss_on="all")
