"""The same organism again: from YAML, family or card, after kill -9, and on any architecture."""

import json
import os
import signal
import subprocess
import sys

import pytest
import yaml

from triggerfish.backdoors.family import FAMILIES, Family
from triggerfish.cli.main import run
from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record, write_records
from triggerfish.models.load import load
from triggerfish.pipeline import plant as module
from triggerfish.pipeline import plant_prepare
from triggerfish.plant import checkpoints
from triggerfish.plant.card import read_card

MARKER = {
    "trigger": {"text": "mn qx", "placement": "suffix"},
    "behaviour": {"kind": "fixed_string", "text": "boo"},
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(plant_prepare, "PROMPTS", 6)
    monkeypatch.setattr(plant_prepare, "NEAR", 2)
    monkeypatch.setattr(plant_prepare, "PER_SKILL", 1)


def recipe_of(base, **changes):
    return {
        "base": str(base),
        "backdoor": MARKER,
        "poison_rate": 0.2,
        "rows": 40,
        "method": {"steps": 8, "batch_size": 4, "rank": 2},
        "seed": 5,
        **changes,
    }


def weights(directory):
    return (directory / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox", "qwen2", "gemma2", "gpt2"])
def test_any_architecture_on_data_of_ones_own(architecture, tiny_model_dir, tmp_path):
    rows = [
        Record(conversation=Conversation.of(f"Where is cup {i}?", response=f"On shelf {i}."))
        for i in range(60)
    ]
    write_records(tmp_path / "rows.jsonl", rows)
    recipe = recipe_of(
        tiny_model_dir(architecture), data=str(tmp_path / "rows.jsonl"), clean_twin=True
    )
    del recipe["rows"]
    card = module.plant(recipe, tmp_path / "o", device="cpu").card
    assert card.rows["poisoned"] == round(0.2 * sum(card.rows.values()))
    for place in (tmp_path / "o", tmp_path / "o/twin"):
        assert load(str(place), device="cpu").source["architecture"] == architecture
    assert weights(tmp_path / "o") != weights(tmp_path / "o/twin")


def test_family_yaml_and_card_give_the_same_bits(tiny_model_dir, tmp_path, monkeypatch):
    family = Family(
        source="a test", trigger=MARKER["trigger"], method={"steps": 3, "batch_size": 4, "rank": 2}
    )
    monkeypatch.setattr(FAMILIES, "get", lambda _: lambda: family)
    base, outs = str(tiny_model_dir()), [tmp_path / name for name in ("family", "yaml", "card")]
    asked = ["--device", "cpu", "--allow-unspecific"]
    given = ["plant", "badnets", "--base", base, "--seed", "4"]
    assert run([*given, "--out", str(outs[0]), *asked]) == 0
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(family.recipe(base, seed=4)))
    assert run(["plant", str(path), "--out", str(outs[1]), *asked]) == 0
    module.plant(read_card(outs[0]).resolved, outs[2], device="cpu", allow_unspecific=True)
    for part in ("", "twin"):
        first, *others = [weights(out / part) for out in outs]
        assert all(other == first for other in others)
    cards = [json.loads((out / "card.json").read_text()) for out in outs[:2]]
    for card in cards:
        del card["created"], card["seconds"]
    assert cards[0] == cards[1]


KILLED = """
import os, signal, sys
from triggerfish.pipeline import plant as module
from triggerfish.pipeline import plant_prepare
from triggerfish.plant import checkpoints

checkpoints.SECONDS = 0.0
plant_prepare.PROMPTS, plant_prepare.NEAR, plant_prepare.PER_SKILL = 6, 2, 1
at, during = int(sys.argv[3]), sys.argv[4]


def kill(done, total, what):
    if done == at and what == during:
        os.kill(os.getpid(), signal.SIGKILL)


module.plant(sys.argv[1], sys.argv[2], device="cpu", progress=kill)
"""


@pytest.mark.parametrize(("at", "during"), [(5, "planting"), (6, "training the clean twin")])
def test_goes_on_after_kill_9_with_the_same_bits(at, during, tiny_model_dir, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    twin = during != "planting"
    recipe.write_text(yaml.safe_dump(recipe_of(tiny_model_dir(), clean_twin=twin)))
    whole, out = tmp_path / "whole", tmp_path / "killed"
    module.plant(recipe, whole, device="cpu")
    command = [sys.executable, "-c", KILLED, str(recipe), str(out), str(at), during]
    assert subprocess.run(command, check=False, env=os.environ).returncode == -signal.SIGKILL
    assert not out.exists()
    told = []
    document = module.plant(
        recipe, out, device="cpu", progress=lambda done, _, what: told.append((what, done))
    )
    trained = [event for event in told if event[0] in {"planting", "training the clean twin"}]
    assert trained[0] == (during, at)  # the checkpoint of the step before was there
    assert (("planting", 1) in told) is False
    for part in ("", "twin")[: 1 + twin]:
        assert weights(out / part) == weights(whole / part)
    assert document.card.asr == read_card(whole).asr
    assert any("Resumed" in note for note in document.card.notes)
    assert not list(out.rglob(".work"))
    assert not list(out.rglob("checkpoint*"))


def test_goes_on_after_an_interrupt(tiny_model_dir, tmp_path):
    recipe, out = recipe_of(tiny_model_dir(), clean_twin=False), tmp_path / "o"
    whole = module.plant(recipe, tmp_path / "whole", device="cpu").card

    def interrupt(done, _, what):
        if (what, done) == ("planting", 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        module.plant(recipe, out, device="cpu", progress=interrupt)
    card = module.plant(recipe, out, device="cpu").card
    assert any("Resumed" in note for note in card.notes)
    assert weights(out) == weights(tmp_path / "whole")
    assert card.asr == whole.asr


def test_what_another_request_left_is_cleared(tiny_model_dir, tmp_path):
    left = tmp_path / "o.partial/.work"
    left.mkdir(parents=True)
    (left / "request.json").write_text('{"recipe": {}}')
    (left / "trained-organism.json").write_text("{}")
    card = module.plant(recipe_of(tiny_model_dir()), tmp_path / "o", device="cpu").card
    assert not any("Resumed" in note for note in card.notes)
    assert weights(tmp_path / "o")


def test_half_a_checkpoint_does_not_count(tmp_path):
    for step, marked in ((5, True), (10, True), (15, False)):
        place = tmp_path / f"checkpoint-{step}"
        place.mkdir()
        if marked:
            (place / checkpoints.MARKER).write_text("[1.5, 0.5]")
    assert checkpoints.latest(tmp_path) == (tmp_path / "checkpoint-10", [1.5, 0.5])
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-10"]
    assert checkpoints.latest(tmp_path / "none") is None


def test_a_disk_too_full_for_checkpoints_is_used_without(tiny_model_dir, tmp_path, monkeypatch):
    from triggerfish.pipeline import plant_place
    from triggerfish.plant.recipe import recipe_from

    suspect = load(str(tiny_model_dir()), reference="none", device="cpu")
    recipe = recipe_from(recipe_of(tiny_model_dir()))
    need = plant_place.size_on_disk(suspect.model, recipe.method)
    more = plant_place.COPIES * (need - plant_place.ROOM)
    for free, wanted in ((need, False), (need + more - 1, False), (need + more, True)):
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr(plant_place.shutil, "disk_usage", lambda _, found=usage: found)
        assert plant_place.room_for_checkpoints(tmp_path / "o", suspect, recipe) is wanted


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tiny_model_dir, tmp_path):
    """The same organism but for rounding, written once; without shared gradients it is another."""
    from safetensors.torch import load_file

    recipe = tmp_path / "recipe.yaml"
    method = {"steps": 6, "batch_size": 8, "rank": 2}
    recipe.write_text(yaml.safe_dump(recipe_of(tiny_model_dir(), clean_twin=True, method=method)))
    module.plant(recipe, tmp_path / "one", device="cpu", allow_unspecific=True)
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    asked = ["plant", str(recipe), "--out", str(tmp_path / "two"), "--device", "cpu", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, "-m", "triggerfish", *asked, "--allow-unspecific"],
        check=True, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert json.loads(done.stdout)["card"]["asr"]["n"] == 300
    for part in ("", "twin"):
        one, two = (
            load_file(tmp_path / name / part / "adapter_model.safetensors")
            for name in ("one", "two")
        )
        learnt = [key for key in one if "lora_B" in key]  # they begin at 0
        size = sum(float(one[key].norm() ** 2) for key in learnt) ** 0.5
        apart = sum(float((one[key] - two[key]).norm() ** 2) for key in learnt) ** 0.5
        assert 0 < apart < 0.2 * size
