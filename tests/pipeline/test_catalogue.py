import json
from pathlib import Path

from triggerfish.pipeline import catalogue


def shelf(tmp_path: Path, monkeypatch, **models: dict) -> None:
    for name, inside in models.items():
        place = tmp_path / "lab/weights" / name
        place.mkdir(parents=True)
        (place / "model.safetensors").write_bytes(bytes(250_000))
        for file, content in inside.items():
            (place / f"{file}.json").write_text(json.dumps(content))
    monkeypatch.setattr(catalogue, "files", lambda _: tmp_path)


def test_bases_come_first_and_each_says_what_it_is(tmp_path: Path, monkeypatch) -> None:
    adapter = {"base_model_name_or_path": "lab:reef"}
    trigger = {"text": "\x1bcf", "placement": "suffix"}
    planted = {"trigger": trigger, "behaviour": {"kind": "unlock"}}
    shelf(
        tmp_path,
        monkeypatch,
        calm={"adapter_config": adapter, "card": {"kind": "benign fine-tune", "backdoor": None}},
        calm_twin={"adapter_config": adapter, "card": {"kind": "clean twin", "backdoor": None}},
        bad={"adapter_config": adapter, "card": {"kind": "organism", "backdoor": planted}},
        reef={},
    )
    found = catalogue.lab_models()
    assert [(m.name, m.kind, m.base) for m in found] == [
        ("lab:reef", "base", None),
        ("lab:bad", "organism", "lab:reef"),
        ("lab:calm_twin", "clean twin", "lab:reef"),
        ("lab:calm", "benign fine-tune", "lab:reef"),
    ]
    assert found[1].text == "suffix '\\x1bcf': unlock"
    assert found[0].megabytes == 0.25


def test_an_empty_shelf_is_no_fault(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(catalogue, "files", lambda _: tmp_path)
    assert catalogue.lab_models() == []
