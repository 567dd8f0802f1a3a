"""`triggerfish report`."""

from pathlib import Path
from typing import Annotated

import typer

from triggerfish.cli.shared import JsonOption, session


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a finished run.")],
    as_json: JsonOption = False,
) -> None:
    """Render the report of a run directory again, from what is stored in it."""
    with session(as_json, progress=False) as ui:
        from triggerfish.pipeline.publish import render_again

        report, page = render_again(run)
        verdict = f"{report.verdict.value}: " if report.verdict else ""
        ui.emit(report, f"{verdict}{report.headline}\n{page}")
