"""The command `triggerfish explain`."""

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triggerfish.cli.backdoor import (
    PANEL,
    BehaviourOption,
    CardOption,
    PlacementOption,
    TriggerOption,
    TwinOption,
    behaviour_spec,
    trigger_spec,
)
from triggerfish.cli.shared import (
    AdapterOption,
    AutomaticRunOption,
    BaseOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelArgument,
    ReferenceOption,
    SeedOption,
    session,
)

if TYPE_CHECKING:
    from triggerfish.pipeline.explain_document import ExplainDocument

SETTINGS = "Settings"


class Mode(StrEnum):
    """How a head is ablated."""

    zero = "zero"
    mean = "mean"


class Direction(StrEnum):
    """Which effects rank the heads of the ablation curve."""

    sufficiency = "sufficiency"
    necessity = "necessity"


def command(
    model: ModelArgument,
    card: CardOption = None,
    trigger: TriggerOption = None,
    placement: PlacementOption = "suffix",
    behaviour: BehaviourOption = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="TEXT",
            help="The one text that a triggered model says, instead of --behaviour.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    twin: TwinOption = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE", help="Records instead of the lab's.")
    ] = None,
    n: Annotated[
        int,
        typer.Option("--n", min=4, help="Test texts of the curve.", rich_help_panel=SETTINGS),
    ] = 200,
    ranking: Annotated[
        int,
        typer.Option(
            "--ranking", min=4, help="Texts that heads are ranked on.", rich_help_panel=SETTINGS
        ),
    ] = 100,
    rank_by: Annotated[
        Direction, typer.Option("--rank-by", help="Of the curve.", rich_help_panel=SETTINGS)
    ] = Direction.sufficiency,
    ablate: Annotated[
        Mode, typer.Option("--ablate", help="What replaces a head.", rich_help_panel=SETTINGS)
    ] = Mode.zero,
    adapter: AdapterOption = None,
    base: BaseOption = None,
    reference: ReferenceOption = "auto",
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    out: AutomaticRunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where in the model a backdoor sits: drift, exact head attribution, ablation curve.

    The backdoor is that of a card, or given by --trigger with --behaviour or --target.
    """
    with session(as_json) as ui:
        from triggerfish.pipeline.explain_request import ExplainRequest, explain_as_asked
        from triggerfish.pipeline.explain_texts import ExplainSettings

        request = ExplainRequest(
            model=model,
            settings=ExplainSettings(
                n=n, ranking=ranking, rank_by=rank_by.value, mode=ablate.value, seed=seed
            ),
            card=card,
            trigger=trigger_spec(trigger, placement),
            behaviour=behaviour_spec(behaviour),
            target=target,
            twin=twin,
            data=None if data is None else str(data),
            out="auto" if out is None else str(out),
            load={
                "adapter": adapter,
                "base": base,
                "reference": reference,
                "device": device,
                "dtype": dtype,
            },
            reproduce=shlex.join(["triggerfish", *sys.argv[1:]]),
        )
        document = explain_as_asked(request, ui.progress)
        ui.emit(document, _text(document))


def _text(document: "ExplainDocument") -> str:
    """What a person reads: the headline, leading heads, controls, the curve."""
    heads, curve = document.heads(), document.curve
    lines = [document.report.headline, "", f"Log-odds without the trigger: {heads.before.text()}"]
    if heads.total is not None:
        lines.append(f"  what the trigger adds: {heads.total.text()}")
    lines.append("Leading heads, mean of the triggered runs put into clean ones (nats):")
    leading = heads.ranked[:8]
    lines += [f"  layer {r.layer:>2}, head {r.index:>2}: {r.effect.text()}" for r in leading]
    lines.append("Controls, largest effect of a head (nats):")
    lines.append(f"  this model, its trigger: {heads.largest:.2f}, {heads.found} above chance")
    for control in document.controls:
        part = control.heads
        lines.append(f"  {control.name}: {part.largest:.2f}, {part.found} above chance")
    lines.append(f"Ablation ({curve.mode}):")
    for point, other in zip(curve.ranked, curve.random, strict=True):
        back = f", recovery {point.recovery.text()}" if point.recovery else ""
        lines.append(
            f"  {point.k:>2} heads: ASR {point.asr.text()}{back}, utility {point.utility.text()};"
            f" random heads: ASR {other.asr.text()}"
        )
    lines += [f"Note: {text}" for text in document.notes]
    lines += [f"Not tested: {text}" for text in document.not_tested]
    if document.run:
        lines.append(f"Written to {document.run}")
    return "\n".join(lines)
