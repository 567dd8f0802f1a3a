"""The command `triggerfish remove`."""

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from triggerfish.cli.backdoor import (
    BehaviourOption,
    CardOption,
    PlacementOption,
    TriggerOption,
    TwinOption,
    backdoor_spec,
)
from triggerfish.cli.shared import (
    AdapterOption,
    BaseOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelArgument,
    ReferenceOption,
    SeedOption,
    session,
)

SETS = "Data"
SETTINGS = "Settings"
LOADING = "Loading"


class Weights(StrEnum):
    """Which weights are trained."""

    auto = "auto"
    adapter = "adapter"
    full = "full"


def command(
    model: ModelArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="The defended model; the same command resumes it."
        ),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="beear|clean-finetune", help="The defence.")
    ] = "beear",
    specification: Annotated[
        str | None,
        typer.Option(
            "--specification",
            metavar="TEXT",
            help="How unwanted answers begin, such as 'Sure,'; proposed from the model's own"
            " answers where left out.",
        ),
    ] = None,
    card: CardOption = None,
    trigger: TriggerOption = None,
    placement: PlacementOption = "suffix",
    behaviour: BehaviourOption = None,
    twin: TwinOption = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="FILE", help="Records, JSON lines.", rich_help_panel=SETS),
    ] = None,
    asked: Annotated[
        str | None,
        typer.Option(
            "--asked",
            metavar="FILE",
            help="D_SA: requests that the model declines or answers safely.",
            rich_help_panel=SETS,
        ),
    ] = None,
    unwanted: Annotated[
        str | None,
        typer.Option(
            "--unwanted",
            metavar="FILE",
            help="D_SA-H: the same requests with the unwanted opener.",
            rich_help_panel=SETS,
        ),
    ] = None,
    benign: Annotated[
        str | None,
        typer.Option(
            "--benign",
            metavar="FILE",
            help="D_PA: benign requests with right answers.",
            rich_help_panel=SETS,
        ),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option("--layer", min=0, help="BEEAR's layer, from 0.", rich_help_panel=SETTINGS),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Optimiser steps.", rich_help_panel=SETTINGS),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", help="Learning rate, also of the controls.", rich_help_panel=SETTINGS
        ),
    ] = None,
    weights: Annotated[
        Weights,
        typer.Option("--weights", help="What is trained.", rich_help_panel=SETTINGS),
    ] = Weights.auto,
    n: Annotated[
        int, typer.Option("--n", "-n", min=1, help="Attacked prompts.", rich_help_panel=SETTINGS)
    ] = 300,
    per_skill: Annotated[
        int,
        typer.Option(
            "--per-skill",
            min=1,
            help="Utility prompts of each skill.",
            rich_help_panel=SETTINGS,
        ),
    ] = 200,
    samples: Annotated[
        list[int] | None,
        typer.Option(
            "--samples",
            min=1,
            max=50,
            help="Poisoned samples of the re-activation test; may be repeated. Default: 10.",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    seed: SeedOption = 0,
    adapter: AdapterOption = None,
    base: BaseOption = None,
    reference: ReferenceOption = "auto",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    as_json: JsonOption = False,
) -> None:
    """Remove a backdoor and measure what is left, always beside two fine-tuning controls.

    No defence sees the trigger: a card or trigger is used for measuring only. Without one, the
    model is changed and its utility measured, and whether a backdoor is gone is not.
    """
    with session(as_json) as ui:
        from triggerfish.pipeline.removal_request import RemovalRequest, remove_as_asked
        from triggerfish.pipeline.remove import RemovalSettings

        request = RemovalRequest(
            model=model,
            settings=RemovalSettings(
                method=method,
                specification=specification,
                layer=layer,
                steps=steps,
                rate=rate,
                weights=weights.value,
                n=n,
                per_skill=per_skill,
                samples=tuple(samples or (10,)),
                seed=seed,
            ),
            card=card,
            backdoor=backdoor_spec(trigger, placement, behaviour),
            twin=twin,
            data=data,
            asked=asked,
            unwanted=unwanted,
            benign=benign,
            out=str(out) if out else None,
            load={
                "adapter": adapter,
                "base": base,
                "reference": reference,
                "device": device,
                "dtype": dtype,
            },
            reproduce=shlex.join(["triggerfish", *sys.argv[1:]]),
        )
        document = remove_as_asked(request, ui.progress)
        ui.emit(document, text_of(document))


def text_of(document: Any) -> str:
    """What a person reads: the headline, a line for each model, warnings, what was not tested."""
    lines = [document.report.headline, ""]
    for arm in (*document.arms, *document.clean):
        parts = [f"utility {arm.utility['all'].text()}"]
        for label, number in (("ASR", arm.asr), ("recovery", arm.recovery)):
            if number is not None:
                parts.insert(len(parts) - 1, f"{label} {number.text()}")
        parts += [f"after {k} poisoned {v.text()}" for k, v in arm.reactivation.items()]
        lines.append(f"  {arm.name}: {', '.join(parts)}")
    spec = document.specification
    lines += ["", f"Specification: {spec.text!r} ({spec.origin})"]
    lines += [f"Warning: {text}" for text in document.warnings]
    lines += [f"Not tested: {text}" for text in document.not_tested]
    if document.out:
        lines.append(f"Written to {document.out}")
    return "\n".join(lines)
