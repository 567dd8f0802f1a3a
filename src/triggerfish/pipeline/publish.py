"""Writes what a run says: `report.json`, `report.html`, `findings.json`, `report.sarif`.

A pipeline ends with::

    page = publish(run, report, findings=Findings(verdict=..., findings=[...]))
    run.finish()
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from triggerfish.errors import BadInput
from triggerfish.pipeline.resume import versions
from triggerfish.pipeline.run import Run
from triggerfish.pipeline.store import write_atomically
from triggerfish.report.html import render
from triggerfish.report.record import Findings, Report
from triggerfish.report.sarif import to_sarif


def publish(run: Run, report: Report, *, findings: Findings | None = None) -> Path:
    """Writes the documents of a run and returns the path of the page.

    Args:
        run: the open run.
        report: what a person reads.
        findings: what programs read; also written as SARIF, located at the report's title.
    """
    run.write("report.json", report)
    if findings is not None:
        run.write("findings.json", findings)
        sarif = to_sarif(findings, model=report.title, version=versions()["triggerfish"])
        run.write("report.sarif", sarif)
    return run.write("report.html", render(report))


def render_again(directory: Path) -> tuple[Report, Path]:
    """Renders the report of a run directory again, from its `report.json`.

    Returns:
        The report and the path of the page.

    Raises:
        BadInput: the directory holds no report, or one that this version cannot read.
    """
    source = directory / "report.json"
    if not source.is_file():
        remedy = "give the directory of a finished run"
        raise BadInput(str(source), "does not exist", remedy)
    try:
        report = Report.model_validate_json(source.read_bytes())
    except ValidationError as error:
        rule = f"is not a report that this version can read ({error.error_count()} errors)"
        raise BadInput(str(source), rule, "run the command again") from error
    page = directory / "report.html"
    write_atomically(page, render(report))
    return report, page
