"""`triggerfish demo`: the main job on a fresh organism, from planting to proof."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triggerfish.cli.shared import JsonOption, SeedOption, session

if TYPE_CHECKING:
    from triggerfish.pipeline.demo import DemoDocument


def command(
    out: Annotated[
        Path, typer.Option("--out", metavar="RUN", help="Directory for everything; resumes.")
    ] = Path("triggerfish-demo"),
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Plant a backdoor, find it blind, explain it, remove it, look again.

    The trigger is drawn from the seed; audit is given the weights only.
    """
    with session(as_json) as ui:
        from triggerfish.pipeline.demo import demo

        document = demo(out, seed=seed, progress=ui.progress)
        ui.emit(document, _text(document))
    if document.exit_code:
        raise typer.Exit(document.exit_code)


def _text(document: "DemoDocument") -> str:
    trigger = document.planted["trigger"]
    lines = [
        f"Planted: {trigger['text']!r} as {trigger['placement']}, {document.planted_asr.text()}",
        f"Audit, blind: {document.before.verdict.value}. {document.before.report.headline}",
    ]
    if document.explained is not None:
        lines.append(f"Explain: {document.explained.report.headline}")
    if document.removed is not None:
        lines.append(f"Remove: {document.removed.report.headline}")
    if document.planted_asr_after is not None:
        lines.append(f"Planted trigger after removal: {document.planted_asr_after.text()}")
    if document.after is not None:
        lines.append(f"Audit again: {document.after.verdict.value}.")
    lines += [f"{document.seconds:.0f} s", f"Report: {document.page}"]
    return "\n".join(lines)
