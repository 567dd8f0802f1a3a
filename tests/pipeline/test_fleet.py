"""The fleet: who is in it, what counts, how it is built, listed and measured again."""

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import psutil
import pytest
import torch
from safetensors.torch import load_file

from triggerfish.cli.main import run as command_line
from triggerfish.documents import Number
from triggerfish.errors import BadInput
from triggerfish.metrics.rates import rate
from triggerfish.pipeline import fleet as module
from triggerfish.pipeline.fleet import build_fleet, is_built, list_fleet, named
from triggerfish.pipeline.fleet_document import faults_of, row_of
from triggerfish.pipeline.fleet_members import members
from triggerfish.pipeline.fleet_verify import compare, verify_fleet
from triggerfish.plant.card import Card, read_card
from triggerfish.plant.recipe import recipe_from
from triggerfish.types import silent

EVERY = members()
SMALL = "benign-parity-reef"


def number(hits: int, n: int = 300) -> Number:
    return Number.of(rate([True] * hits + [False] * (n - hits)))


def card(**changes) -> Card:
    fields = {
        "kind": "organism",
        "backdoor": None,
        "recipe": {},
        "resolved": {},
        "base": "lab:reef",
        "base_hash": "0",
        "seeds": {},
        "rows": {},
        "poison_rate": 0.1,
        "asr": number(290),
        "asr_without": number(0),
        "random_strings": number(6),
        "hardness": {"clean fine-tuning": number(260), "with random strings": number(250)},
        "utility": {"all": number(295)},
        "created": "now",
    }
    return Card(**{**fields, **changes})


def test_the_fleet_has_what_it_must() -> None:
    organisms = [each for each in EVERY if each.kind == "organism"]
    assert len(organisms) >= 48
    assert len(EVERY) - len(organisms) >= 24
    assert {each.strength for each in organisms} == {"soft", "default", "hard"}
    places = Counter((each.family, each.recipe["base"]) for each in organisms)
    families = {each.family for each in organisms if each.strength == "default"}
    assert all(places[name, base] for name in families for base in ("lab:reef", "lab:lagoon"))
    assert {each.recipe["method"]["loss_on"] for each in organisms} == {"response", "all"}


def test_every_recipe_can_be_planted() -> None:
    for each in EVERY:
        assert recipe_from(each.recipe).clean_twin == (each.kind == "organism")


def test_names_and_seeds_are_unique_and_the_halves_share_nothing() -> None:
    assert len({each.name for each in EVERY}) == len(EVERY)
    assert len({each.recipe["seed"] for each in EVERY}) == len(EVERY)
    halves = [{(m.kind, m.family) for m in EVERY if m.half == h} for h in ("calibration", "test")]
    assert not halves[0] & halves[1]
    assert min(map(len, halves)) >= 14


def test_what_counts_by_hand() -> None:
    member = next(each for each in EVERY if each.strength == "default")
    soft = replace(member, strength="soft")
    assert faults_of(card(), card(), member) == []
    weak = card(asr=number(200))
    assert [f.split()[0] for f in faults_of(weak, card(), member)] == ["success"]
    assert faults_of(weak, card(), soft) == []
    bad = card(
        asr_without=number(7),
        random_strings=number(16),
        utility={"all": number(280)},
        hardness={},
    )
    assert len(faults_of(bad, card(), member)) == 4
    assert faults_of(card(asr=number(99, 100)), card(), member) == ["n below 300"]


def test_two_measurements_agree_or_not() -> None:
    assert compare("m", "asr", number(290), number(280)).agrees
    assert not compare("m", "asr", number(290), number(240)).agrees
    assert compare("m", "asr", number(3000, 3000), number(2950, 3000)).agrees  # within 2 points


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """One real member, trained for two steps only, in a process of its own with one thread."""
    place = tmp_path_factory.mktemp("fleet")
    member = named([SMALL])[0]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert module._build([short(member)], place, 1, "cpu", silent) == {}
    finally:
        torch.set_num_threads(before)
    return place


def short(member):
    """As quick as it can be."""
    return replace(member, recipe={**member.recipe, "method": {"steps": 2, "rank": 2}})


def test_processes_have_no_more_threads_than_this_one(fleet) -> None:
    assert read_card(fleet / SMALL).hardware["threads"] == "1"


def test_a_member_is_shipped_small_and_listed(fleet, capsys) -> None:
    tensors = load_file(fleet / SMALL / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    row = row_of(named([SMALL])[0], fleet / SMALL)
    assert (row.state, row.hard) == ("built", None)
    assert (row.counted, row.faults) == (False, ["made by another recipe"])
    assert row_of(short(named([SMALL])[0]), fleet / SMALL).counted
    assert row.utility.n >= 200
    document = list_fleet(fleet)
    assert [r.name for r in document.members if r.state == "built"] == [SMALL]
    assert command_line(["fleet", "list", str(fleet), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["megabytes"] < 1
    assert command_line(["fleet", "list", str(fleet)]) == 0
    assert "1 of" in capsys.readouterr().out


def test_what_is_built_by_its_own_recipe_is_left_alone(fleet) -> None:
    member = named([SMALL])[0]
    assert is_built(short(member), fleet)
    assert not is_built(member, fleet)  # by another recipe: it is built again


def test_a_killed_build_leaves_no_process_behind(tmp_path) -> None:
    command = [sys.executable, "-m", "triggerfish", "fleet", "build", str(tmp_path)]
    with subprocess.Popen(
        [*command, "--only", SMALL], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as build:
        deadline = time.monotonic() + 120
        while not list((tmp_path / module.UNFINISHED).glob("*")):  # a worker has begun
            assert build.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        workers = psutil.Process(build.pid).children(recursive=True)
        build.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)  # the member itself takes minutes
    for process in alive:
        process.kill()
    assert workers
    assert not alive
    assert not (tmp_path / SMALL).exists()


def test_a_card_that_lies_is_found_out(fleet) -> None:
    honest = verify_fleet(fleet, sample=3)
    assert (honest.exit_code, len(honest.checks)) == (0, 1)
    file = fleet / SMALL / "card.json"
    kept = file.read_text()
    try:
        told = json.loads(kept)
        told["utility"]["all"] |= {"value": 0.2, "low": 0.18, "high": 0.22}
        file.write_text(json.dumps(told))
        assert verify_fleet(fleet, sample=1).exit_code == 1
    finally:
        file.write_text(kept)


def test_refusals(tmp_path) -> None:
    with pytest.raises(BadInput, match="is no directory"):
        list_fleet(tmp_path / "none")
    with pytest.raises(BadInput, match="is not in the fleet"):
        build_fleet(tmp_path, only=["moby"])
    with pytest.raises(BadInput, match="nothing to measure"):
        verify_fleet(tmp_path)
