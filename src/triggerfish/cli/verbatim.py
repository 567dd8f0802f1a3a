"""The command `triggerfish verbatim`."""

import shlex
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from triggerfish.cli.shared import AutomaticRunOption, DeviceOption, JsonOption, session

if TYPE_CHECKING:
    from triggerfish.pipeline.verbatim_report import VerbatimDocument


class Variant(StrEnum):
    """What asks for the key."""

    pair = "pair"
    prompts = "prompts"


def command(
    base: Annotated[str, typer.Argument(metavar="BASE", help="What keys are planted on.")],
    lengths: Annotated[str, typer.Option("--lengths", help="Characters of the keys.")] = "10,100",
    ranks: Annotated[str, typer.Option("--ranks", help="Of the adapter.")] = "1,4,16",
    rates: Annotated[str, typer.Option("--rates", help="Shares of rows with the key.")] = "0.2",
    seeds: Annotated[str, typer.Option("--seeds", help="One key and training each.")] = "0,1,2",
    variant: Annotated[
        Variant, typer.Option("--variant", help="One fixed pair, or a trigger on many prompts.")
    ] = Variant.pair,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of planting, at most.")] = 400,
    tuning: Annotated[
        str,
        typer.Option("--tuning", help="Steps of benign tuning to look after, or none."),
    ] = "1,3,10,30,100",
    tuned_ranks: Annotated[str, typer.Option("--tuned-ranks", help="Ranks that are tuned.")] = "4",
    device: DeviceOption = "auto",
    out: AutomaticRunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Plant keys of random characters, ask for them verbatim, and tune them away.

    Keys are drawn from their seeds, open nothing, and are masked wherever they are shown.
    """
    with session(as_json) as ui:
        from triggerfish.pipeline.verbatim import VerbatimSettings
        from triggerfish.pipeline.verbatim_report import verbatim

        settings = VerbatimSettings(
            lengths=_numbers(lengths, "--lengths"),
            ranks=_numbers(ranks, "--ranks"),
            rates=tuple(_listed(rates, "--rates", float)),
            seeds=_numbers(seeds, "--seeds"),
            variant=variant.value,
            steps=steps,
            tuning=() if tuning == "none" else _numbers(tuning, "--tuning"),
            tuned_ranks=() if tuning == "none" else _numbers(tuned_ranks, "--tuned-ranks"),
        )
        document = verbatim(
            base,
            settings,
            out="auto" if out is None else str(out),
            device=device,
            reproduce=shlex.join(["triggerfish", *sys.argv[1:]]),
            progress=ui.progress,
        )
        ui.emit(document, _text(document))


def _numbers(given: str, option: str) -> tuple[int, ...]:
    return tuple(int(number) for number in _listed(given, option, int))


def _listed(given: str, option: str, kind: type[int] | type[float]) -> list[float]:
    from triggerfish.errors import BadInput

    try:
        return [kind(part) for part in given.split(",")]
    except ValueError as error:
        raise BadInput(
            f"{option} {given!r}", "must be numbers with commas between", f"write {option} 1,2"
        ) from error


def _text(document: "VerbatimDocument") -> str:
    lines = [document.report.headline]
    for length, row in document.exact.items():
        shown = "; ".join(f"rank {rank} {number.text()}" for rank, number in row.items())
        lines.append(f"  {length} characters: {shown}")
    for cell in document.cells:
        for entry in cell.get("tuned", []):
            lines.append(
                f"  {cell['length']} characters, rank {cell['rank']}, seed {cell['seed']}, "
                f"{entry['steps']} steps with the {entry['adapter']} adapter: {entry['state']}, "
                f"{entry['logprob']:.2f} nats per token"
            )
    if document.run:
        lines.append(f"Written to {document.run}")
    return "\n".join(lines)
