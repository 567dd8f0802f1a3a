"""`triggerfish list`."""

from typing import Annotated

import typer

from triggerfish.cli.shared import JsonOption, session
from triggerfish.cli.tables import as_text


def command(
    noun: Annotated[
        str | None,
        typer.Argument(metavar="NOUN", help="One kind only: families, detectors, lab, ..."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the registered methods and the models of the lab."""
    with session(as_json, progress=False) as ui:
        from triggerfish.pipeline.catalogue import catalogue, plural

        document = catalogue(noun)
        blocks = [
            f"{plural(name).capitalize()}\n" + as_text([[m.name, m.text] for m in methods])
            for name, methods in document.methods.items()
            if methods
        ]
        rows = [[m.name, m.kind, f"{m.megabytes} MB", m.text] for m in document.lab]
        if noun in {None, "lab"}:
            blocks.append("Models of the lab\n" + (as_text(rows) or "  none in this installation"))
        ui.emit(document, "\n\n".join(blocks))
