"""doctor, list, report."""

import json
from pathlib import Path

from report import sample
from triggerfish.cli import main as cli
from triggerfish.pipeline.publish import publish
from triggerfish.pipeline.run import Run
from triggerfish.report.record import Findings, Report, Verdict


def test_doctor_names_versions_memory_threads_and_what_is_missing(capsys, monkeypatch) -> None:
    monkeypatch.setattr("triggerfish.pipeline.doctor.BROWSERS", ("no-such-browser",))
    monkeypatch.setattr("triggerfish.pipeline.doctor.EXTRAS", {"x": (("no-such-x",), "use of x")})
    assert cli.run(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in document["checks"]}
    assert checks["torch"]["state"] == "good"
    assert "GB free" in checks["memory"]["value"]
    assert "of torch" in checks["threads"]["value"]
    assert checks["use of x"]["remedy"] == "pip install 'triggerfish[x]'"
    assert checks["browser tests of the report"]["state"] == "missing"


def test_doctor_fails_without_a_core_package(capsys, monkeypatch) -> None:
    monkeypatch.setattr("triggerfish.pipeline.doctor.CORE", ("no-such-package",))
    assert cli.run(["doctor"]) == 3
    assert "pip install no-such-package" in capsys.readouterr().out


def test_list_names_the_registered_methods(capsys) -> None:
    assert cli.run(["list", "--json"]) == 0
    methods = json.loads(capsys.readouterr().out)["methods"]
    assert {"beear", "clean-finetune"} <= {method["name"] for method in methods["defence"]}
    assert {"fixed_string", "unlock"} <= {method["name"] for method in methods["behaviour"]}


def test_report_renders_a_run_again(tmp_path: Path, capsys) -> None:
    with Run.open(tmp_path / "run", "audit", {"seed": 0}) as run:
        page = publish(run, sample.sample(), findings=Findings(verdict=Verdict.FOUND))
        run.finish()
    first = page.read_text()
    page.unlink()
    assert cli.run(["report", str(tmp_path / "run"), "--json"]) == 0
    assert page.read_text() == first
    assert Report.model_validate_json(capsys.readouterr().out) == sample.sample()
    assert json.loads((tmp_path / "run/report.sarif").read_text())["version"] == "2.1.0"
    assert cli.run(["report", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.startswith("backdoor found: A suffix")


def test_report_refuses_what_is_no_run(tmp_path: Path, capsys) -> None:
    assert cli.run(["report", str(tmp_path)]) == 2
    (tmp_path / "report.json").write_text('{"schema_version": 7}')
    assert cli.run(["report", str(tmp_path)]) == 2
    assert "is not a report that this version can read" in capsys.readouterr().err


def test_a_grid_of_keys_that_makes_no_sense_is_refused(capsys) -> None:
    for asked, said in (
        (["--lengths", "ten"], "must be numbers"),
        (["--tuning", "3,1"], "rising counts"),
        (["--rates", "0.95"], "leave clean ones"),
    ):
        assert cli.run(["verbatim", "lab:reef", *asked]) == 2
        assert said in " ".join(capsys.readouterr().err.split())
