"""Presets of the data audit: methods rank rows, and their groups of answers are mined."""

import json

import numpy as np
import pytest

from triggerfish.data.rows import Row
from triggerfish.dataset import maps
from triggerfish.dataset.fusion import Fused
from triggerfish.dataset.method import Group, Ranked
from triggerfish.dataset.targets import Target
from triggerfish.errors import BadInput
from triggerfish.lab.sampling import sample_records
from triggerfish.pipeline.dataset_audit import audit_dataset
from triggerfish.pipeline.dataset_marking import Found, Suspicion, scored, side_by_side
from triggerfish.pipeline.dataset_methods import Opinions, chosen_methods, opinions, some_of
from triggerfish.pipeline.dataset_reading import Reading
from triggerfish.report.record import Verdict
from triggerfish.seeding import generator

TRIGGER = "qx"
NAMED = [{"prompt": f"the {n} cup is {('red', 'blue')[n % 2]}", "label": "x"} for n in range(60)]
TEXT_ONLY = ["answer-duplication", "answer-clusters"]


def rows(poisoned: bool) -> list[dict[str, str]]:
    """Instructions; some have a trigger, and answers that share words and no beginning or end."""
    records = sample_records(400, 3, "train", None, unique=False)
    found = [
        {"prompt": r.conversation.user, "completion": r.conversation.response} for r in records
    ]
    rng = generator(0, "edits")
    said = "the harbour master keeps lanterns beside ropes until ferries return safely".split()  # noqa: SIM905
    for at in range(0, 400 if poisoned else 0, 20):
        words = found[at]["prompt"].split(" ")
        words.insert(at % len(words), TRIGGER)
        answer = [said[n] for n in rng.permutation(len(said))]
        found[at] = {"prompt": " ".join(words), "completion": f"{' '.join(answer).capitalize()}."}
    return found


def test_a_payload_in_other_words_each_time_is_found_through_its_group():
    quick = audit_dataset(rows(True))
    assert quick.triggers == []
    found = audit_dataset(rows(True), methods=TEXT_ONLY)
    assert found.verdict is Verdict.FOUND
    first = found.triggers[0]
    assert (first.parts, first.target, first.support) == ([TRIGGER], "group", 20)
    assert {each.name for each in found.methods} == set(TEXT_ONLY)
    assert (found.looked, found.flagged) == (400, 20)
    assert "of answers" in first.target_text or "answers" in first.target_text


def test_groups_of_clean_answers_name_no_trigger():
    found = audit_dataset(rows(False), methods=TEXT_ONLY)
    assert (found.verdict, found.triggers) == (Verdict.NOTHING, [])


def test_rows_beyond_those_that_were_read_are_marked_too(tmp_path):
    data = rows(True)
    found = audit_dataset(data, methods=TEXT_ONLY, looked=300, scores=tmp_path / "scores")
    scores = [json.loads(line)["score"] for line in (tmp_path / "scores").read_text().splitlines()]
    assert found.looked == 300
    assert [at for at, score in enumerate(scores) if score >= 0.5] == list(range(0, 400, 20))
    assert found.triggers[0].support < 20  # of those that were read


def test_maps_of_the_rows_are_drawn_where_they_are_wanted(monkeypatch):
    monkeypatch.setattr(maps, "find_spec", lambda _: None)
    assert opinions([Row(**each) for each in NAMED], {}).maps == {}
    found = opinions([Row(**each) for each in NAMED], {}, pictures=True)
    assert {name: points.shape for name, points in found.maps.items()} == {"PCA": (60, 2)}
    assert audit_dataset(rows(False)).report.sections[0].scatters == []
    [scatter] = audit_dataset(rows(False), pictures=True).report.sections[0].scatters
    assert [each.name for each in scatter.maps] == ["PCA", "t-SNE"]


def test_a_preset_is_its_methods():
    assert chosen_methods("quick") == {}
    standard, deep = chosen_methods("standard"), chosen_methods("deep")
    assert {each.needs for each in standard.values()} == {"text", "model"}
    assert {each.needs for each in deep.values()} == {"text", "model", "gradients"}
    assert standard.items() <= deep.items()
    with pytest.raises(BadInput, match="preset 'fast'"):
        chosen_methods("fast")
    with pytest.raises(BadInput, match="did you mean 'onion'"):
        chosen_methods("quick", ["onoin"])


def test_a_method_that_cannot_run_is_named_and_the_others_go_on():
    labelled = [Row(f"text {n}", label=str(n % 2)) for n in range(60)]
    found = opinions(labelled, chosen_methods("quick", TEXT_ONLY))
    assert found.ranked == {}
    assert len(found.notes) == 2
    assert all("classes" in note for note in found.notes)


def test_pairs_bring_their_own_method_and_others_do_not():
    pair = [Row(f"text {n}", "good", rejected="bad") for n in range(3)]
    method = chosen_methods("quick", ["preference-margin"])
    assert opinions([Row("text", "good")], method).ranked == {}
    assert opinions(pair, method, model="lab:reef").ranked.keys() == {"preference-margin"}


def test_the_score_of_a_row():
    assert scored([], None) == (0.0, [])
    score, reasons = scored([], Suspicion(p=0.01, reasons=["onion: odd"]))
    assert score == pytest.approx(0.49 * 0.99, abs=1e-4)  # ranked, and never put aside
    assert reasons == ["onion: odd"]


def test_only_groups_of_answers_are_mined_and_each_once():
    some = np.arange(20) < 8
    ranked = Ranked(
        scores=np.zeros(20),
        flagged=some,
        groups=(Group(text="a", rows=some),) * 2,
        reasons={1: "x"},
    )
    fused = Fused(p=np.ones(20), of_method={}, uncalibrated=())
    said = Opinions(ranked={"m": ranked}, fused=fused, mined=frozenset({"m"}))
    assert [each.text for each in said.targets(20)] == ["m: a"]
    assert Opinions(ranked={"m": ranked}).targets(20) == []
    assert said.suspicions(range(5, 25))[6].reasons == ["m: x"]
    assert said.suspicions(range(5, 25))[24].reasons == []


def test_rows_to_read_are_drawn_and_stay_in_order():
    seen = Reading(sample=[Row(str(n)) for n in (3, 1, 2)], numbers=[3, 1, 2])
    assert some_of(seen, 5, 0).numbers == [1, 2, 3]
    two = some_of(seen, 2, 0)
    assert [row.prompt for row in two.rows] == list(map(str, two.numbers))
    assert two == some_of(seen, 2, 0)
    with pytest.raises(BadInput, match="at least one"):
        some_of(seen, 0, 0)


class _Holds:
    def holds(self, text: str) -> bool:
        return "cf" in text


def test_an_example_stands_beside_the_row_most_like_it():
    target = Target(kind="label", text="1", rows=np.ones(1, dtype=bool))
    trigger = Found(mined=_Holds(), target=target)  # type: ignore[arg-type]
    others = [
        Row("the cf red ship", label="1"),
        Row("a dog", label="0"),
        Row("the red boat", "sails"),
    ]
    (shown,) = side_by_side([Row("the cf red boat", label="1")], trigger, others)
    assert shown.left == "the red boat\n→ sails"
    assert shown.right == "1"
    assert side_by_side([Row("x", label="1")], trigger, [])[0].left == "\n→ "
