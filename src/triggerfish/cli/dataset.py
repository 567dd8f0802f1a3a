"""`triggerfish dataset`: audits training data before anything is trained on it."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triggerfish.cli.shared import DeviceOption, JsonOption, SeedOption, session
from triggerfish.errors import BadInput

if TYPE_CHECKING:
    from triggerfish.pipeline.dataset_document import DatasetDocument


class Preset(StrEnum):
    """How much is done."""

    quick = "quick"
    standard = "standard"
    deep = "deep"


class FailOn(StrEnum):
    """From which verdict the exit code is 1."""

    found = "found"
    suspicious = "suspicious"
    never = "never"


def command(
    data: Annotated[str, typer.Argument(metavar="FILE", help="A data file, or a directory.")],
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="ROLE=NAME", help="prompt=text, ...; repeatable."),
    ] = None,
    clean_to: Annotated[
        Path | None, typer.Option("--clean-to", metavar="FILE", help="The rows kept, unchanged.")
    ] = None,
    quarantine: Annotated[
        Path | None, typer.Option("--quarantine", metavar="FILE", help="The others, with reasons.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", metavar="FILE", help="Score and reasons of all rows.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="The page as HTML.")
    ] = None,
    preset: Annotated[
        Preset, typer.Option("--preset", help="Text only, with a small model, with gradients.")
    ] = Preset.quick,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="NAME", help="In the preset's place; repeatable."),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="What methods read the rows with.")
    ] = "lab:reef",
    looked: Annotated[
        int, typer.Option("--rows", min=1, help="Rows that methods read, at most.")
    ] = 20_000,
    strict: Annotated[bool, typer.Option("--strict", help="A faulty row is an error.")] = False,
    fail_on: Annotated[FailOn, typer.Option("--fail-on")] = FailOn.suspicious,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Look for poisoned rows in training data, name the trigger, and write a cleaned copy.

    Reads Alpaca, ShareGPT, messages, prompt/completion, preference pairs, CSV, TSV and Parquet,
    plain or gzipped. Nothing is changed in place. Exit code 1: poison, or a suspicion.
    """
    with session(as_json) as ui:
        from triggerfish.pipeline.dataset_audit import audit_dataset
        from triggerfish.pipeline.store import write_atomically
        from triggerfish.report.html import render

        document = audit_dataset(
            data,
            columns=_columns(column or []),
            preset=preset.value,
            methods=method or None,
            model=model,
            looked=looked,
            strict=strict,
            seed=seed,
            device=device,
            scores=scores,
            clean_to=clean_to,
            quarantine=quarantine,
            fail_on=fail_on.value,
            pictures=report is not None,
            progress=ui.progress,
        )
        if report is not None:
            write_atomically(report, render(document.report))
        ui.emit(document, _text(document))
    raise typer.Exit(document.exit_code)


def _columns(given: list[str]) -> dict[str, str]:
    found = dict(each.split("=", 1) for each in given if "=" in each)
    if len(found) != len(given):
        raise BadInput(f"--column {given}", "must be ROLE=NAME, each role once", "see --help")
    return found


def _text(document: "DatasetDocument") -> str:
    from triggerfish.pipeline.dataset_document import VERDICTS

    said = VERDICTS[document.verdict].capitalize()
    lines = [f"{said}: {document.report.headline}"]
    for each in document.triggers:
        lines.append(
            f"  {each.text} ({each.placement}) -> {each.target} {each.target_text!r}: boost"
            f" {each.boost:.1f}, {each.precision.text()} of {each.support:,} rows"
        )
    lines += [f"  not taken for a trigger: {why}" for why in document.natural]
    for ran in document.methods:
        lines.append(f"  {ran.name}: {ran.flagged:,} of {document.looked:,} rows flagged")
    lines += [f"  not tested: {what}" for what in document.not_tested]
    if document.faults:
        faults = ", ".join(f"{what}: {count:,}" for what, count in document.faults.items())
        lines.append(f"  faults: {faults}")
    if document.poison_rate is not None:
        lines.append(f"  poisoned rows: {document.flagged:,}, {document.poison_rate.text()}")
    lines.append(f"  {document.rows:,} rows in {document.seconds} s")
    return "\n".join(lines)
