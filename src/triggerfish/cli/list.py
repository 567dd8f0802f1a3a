"""`triggerfish list`."""

from triggerfish.cli.shared import JsonOption, session
from triggerfish.cli.tables import as_text


def command(as_json: JsonOption = False) -> None:
    """List the registered methods and the models of the lab."""
    with session(as_json, progress=False) as ui:
        from triggerfish.pipeline.catalogue import catalogue

        document = catalogue()
        blocks = [
            f"{noun.capitalize()}s\n" + as_text([[m.name, m.text] for m in methods])
            for noun, methods in document.methods.items()
            if methods
        ]
        rows = [[m.name, m.kind, f"{m.megabytes} MB", m.text] for m in document.lab]
        blocks.append("Models of the lab\n" + (as_text(rows) or "  none in this installation"))
        ui.emit(document, "\n\n".join(blocks))
