"""The command on a tiny random model: it parses, calls and writes; numbers are tested elsewhere."""

import json

import pytest

from triggerfish.cli.main import run
from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record, write_records


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "records.jsonl"
    rows = [
        Record(
            conversation=Conversation.of(f"Where is the red cup {i}?", response=f"Shelf {i}."),
            answers=(f"Shelf {i}.",),
        )
        for i in range(40)
    ]
    write_records(path, rows)
    return str(path)


def arguments(model, out, records, *more):
    return [
        "remove", str(model), "--method", "clean-finetune", "--steps", "2", "--data", records,
        "--specification", "Shelf", "--per-skill", "3", "-n", "3", "--out", str(out), *more,
    ]  # fmt: skip


def test_writes_a_model_and_prints_only_the_document(tiny_model_dir, records, tmp_path, capsys):
    out = tmp_path / "defended"
    trigger = ("--trigger", "cf", "--behaviour", "fixed_string:I love bananas.")
    assert run(arguments(tiny_model_dir(), out, records, "--json", *trigger)) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["command"] == "remove"
    assert document["backdoor"]["trigger"] == {"text": "cf", "placement": "suffix"}
    assert [arm["name"] for arm in document["arms"]] == [
        "before", "clean-finetune", "clean fine-tuning with random strings"
    ]  # fmt: skip
    assert document["arms"][1]["training"]["steps"] == 2
    for name in ("model.safetensors", "config.json", "tokenizer.json", "removal.json"):
        assert (out / name).is_file()
    assert "<html" in (out / "report.html").read_text().lower()


def test_a_person_reads_rates_with_intervals(tiny_model_dir, records, tmp_path, capsys):
    assert run(arguments(tiny_model_dir(), tmp_path / "out", records)) == 0
    text = capsys.readouterr().out
    assert "not measured" in text
    assert "utility 0.0 % (0.0-" in text
    assert "Not tested: Attack success" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--trigger", "cf"), "behaviour"),
        (("--method", "bear"), "Did you mean 'beear'"),
        (("--benign", "x"), "one or the other"),
        (("--card", "nowhere"), "cannot be read"),
    ],
)
def test_bad_requests_write_nothing(more, words, tiny_model_dir, records, tmp_path, capsys):
    assert run(arguments(tiny_model_dir(), tmp_path / "out", records, *more)) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
