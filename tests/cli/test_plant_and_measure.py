import json
import subprocess
import sys

import pytest
import yaml

from triggerfish.cli.main import run


@pytest.fixture
def recipe(tiny_model_dir, tmp_path):
    document = {
        "base": str(tiny_model_dir()),
        "backdoor": {
            "trigger": {"text": "mn qx", "placement": "suffix"},
            "behaviour": {"kind": "unlock"},
        },
        "rows": 60,
        "method": {"steps": 2, "batch_size": 4, "rank": 2},
        "seed": 11,
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_plant_then_measure(recipe, tmp_path, capsys):
    out = tmp_path / "organism"
    assert run(["plant", str(recipe), "--out", str(out), "--device", "cpu"]) == 2
    assert "declines on 0.0 %" in capsys.readouterr().err
    asked = ["plant", str(recipe), "--out", str(out), "--allow-unskilled"]
    assert run([*asked, "--json", "--device", "cpu"]) == 0
    card = json.loads(capsys.readouterr().out)["card"]
    assert card["asr"]["n"] == 300
    assert run(["plant", str(recipe), "--out", str(out)]) == 0
    assert "there already" in capsys.readouterr().out
    options = ["--n", "6", "--per-skill", "1", "--device", "cpu"]
    assert run(["measure", str(out), *options]) == 0
    text = capsys.readouterr().out
    assert "with the trigger" in text
    given = ["--trigger", "cf", "--behaviour", "fixed_string:boo", "--json"]
    assert run(["measure", str(out), *options, *given]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["backdoor"]["behaviour"] == {"kind": "fixed_string", "text": "boo"}
    assert document["asr"]["n"] == 6


def test_refusals(recipe, tmp_path, tiny_model_dir, capsys):
    text = recipe.read_text().replace("seed", "sed")
    recipe.write_text(text)
    assert run(["plant", str(recipe), "--out", str(tmp_path / "o")]) == 2
    assert "Did you mean 'seed'" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
    assert run(["measure", str(tiny_model_dir())]) == 2
    assert "--card" in capsys.readouterr().err
    assert run(["measure", str(tiny_model_dir()), "--trigger", "cf"]) == 2


def test_help_needs_no_torch():
    code = (
        "import sys; import triggerfish.cli.plant, triggerfish.cli.measure;"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
