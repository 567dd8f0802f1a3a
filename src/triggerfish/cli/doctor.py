"""`triggerfish doctor`."""

import typer

from triggerfish.cli.shared import JsonOption, session
from triggerfish.cli.tables import as_text


def command(as_json: JsonOption = False) -> None:
    """Show versions, device and memory, and what is missing for which feature.

    Exit code 3 where a core package is missing.
    """
    with session(as_json, progress=False) as ui:
        from triggerfish.pipeline.doctor import examine

        document = examine()
        marks = {"good": "ok", "warning": "!", "missing": "--"}
        blocks = []
        for group in ("versions", "machine", "features"):
            rows = [
                [marks[check.state], check.name, check.value, check.remedy]
                for check in document.checks
                if check.group == group
            ]
            blocks.append(f"{group.capitalize()}\n{as_text(rows)}")
        ui.emit(document, "\n\n".join(blocks))
    if not document.works:
        raise typer.Exit(3)
