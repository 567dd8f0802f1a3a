"""`triggerfish fleet`: organisms and benign models with known truth, for calibration and tests."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triggerfish.cli.shared import DeviceOption, JsonOption, SeedOption, session
from triggerfish.cli.tables import as_text

if TYPE_CHECKING:
    from triggerfish.pipeline.fleet_document import FleetDocument, Row

command = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Organisms, twins and benign fine-tunes with known truth; each command takes --json.",
)
FleetArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Where the fleet is.")]


@command.command()
def build(
    directory: FleetArgument,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="This member; repeatable.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Processes side by side; one a core.")
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Build the members that are missing; a killed build goes on."""
    with session(as_json) as ui:
        from triggerfish.pipeline.fleet import build_fleet

        document = build_fleet(
            directory, only=only or (), jobs=jobs, device=device, progress=ui.progress
        )
        for name, why in document.failed.items():
            ui.warn(f"{name}: {why}")
        ui.emit(document, document.summary())


@command.command(name="list")
def show(directory: FleetArgument, as_json: JsonOption = False) -> None:
    """List the members with their figures, and why some do not count."""
    with session(as_json, progress=False) as ui:
        from triggerfish.pipeline.fleet import list_fleet

        document = list_fleet(directory)
        ui.emit(document, _table(document))


@command.command()
def verify(
    directory: FleetArgument,
    sample: Annotated[int, typer.Option("--sample", min=1, help="Members to draw.")] = 6,
    n: Annotated[int, typer.Option("-n", min=1, help="Prompts with and without trigger.")] = 300,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure a sample again, on other prompts; exit code 1 where a card is not confirmed."""
    with session(as_json) as ui:
        from triggerfish.pipeline.fleet_verify import verify_fleet

        document = verify_fleet(
            directory, sample=sample, n=n, seed=seed, device=device, progress=ui.progress
        )
        rows = [
            [c.model, c.rate, c.card.text(), c.again.text(), "agrees" if c.agrees else "DIFFERS"]
            for c in document.checks
        ]
        ui.emit(document, as_text([["model", "rate", "card", "again", ""], *rows]))
    raise typer.Exit(document.exit_code)


def _table(document: "FleetDocument") -> str:
    head = ["member", "half", "with", "without", "random", "utility", "hard", ""]
    return f"{document.summary()}\n" + as_text([head, *map(_line, document.members)])


def _line(row: "Row") -> list[str]:
    rates = [row.asr, row.asr_without, row.random_strings, row.utility]
    hard = {True: "hard", False: "easy", None: ""}[row.hard]
    note = row.state if row.state == "missing" else "; ".join(row.faults)
    return [
        row.name,
        row.half,
        *("" if rate is None else f"{100 * rate.value:.1f}" for rate in rates),
        hard,
        note,
    ]
