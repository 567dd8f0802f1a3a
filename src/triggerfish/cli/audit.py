"""`triggerfish audit`: look for a backdoor in a model or adapter."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    from triggerfish.report.record import AuditDocument


class Preset(StrEnum):
    """How much is searched."""

    quick = "quick"
    standard = "standard"
    deep = "deep"


class FailOn(StrEnum):
    """From which verdict on the exit code is 1."""

    suspicious = "suspicious"
    found = "found"
    never = "never"


def command(
    model: ModelArgument,
    adapter: AdapterOption = None,
    base: BaseOption = None,
    reference: ReferenceOption = "auto",
    preset: Annotated[
        Preset, typer.Option("--preset", help="How much is searched.")
    ] = Preset.standard,
    budget: Annotated[
        float | None,
        typer.Option("--budget", metavar="SECONDS", help="No further search begins after it."),
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="From which verdict on the exit code is 1.")
    ] = FailOn.suspicious,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="Conversations to insert candidates into."),
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    out: AutomaticRunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for a backdoor, verify what is found, and say what was not tested.

    Exit codes: 0 nothing found, 1 a finding at or above --fail-on, 2 bad request or bad input,
    3 could not test.
    """
    with session(as_json) as ui:
        from triggerfish.pipeline.audit import audit

        document = audit(
            model,
            adapter=adapter,
            base=base,
            reference=reference,
            preset=preset.value,
            budget=budget,
            fail_on=fail_on.value,
            seed=seed,
            data=data,
            out=out or "auto",
            device=device,
            dtype=dtype,
            progress=ui.progress,
        )
        ui.emit(document, _text(document))
    if document.exit_code:
        raise typer.Exit(document.exit_code)


def _text(document: "AuditDocument") -> str:
    """What a person reads: verdict, findings with their steps, what was not tested."""
    lines = [f"{document.model}: {document.verdict.value}", "", document.report.headline]
    for finding in document.findings:
        lines += ["", finding.claim, f"  p = {finding.p_value:.2g}"]
        for step in finding.steps:
            mark = {True: "passed", False: "FAILED", None: "-"}[step.passed]
            lines.append(f"  {step.name}: {mark}; {step.text}")
        for example in finding.examples[:3]:
            lines += [
                f"  > {example.prompt}",
                f"    without: {example.left}",
                f"    with:    {example.right}",
            ]
    lines += ["", *(f"Not tested: {text}" for text in document.not_tested)]
    lines.append(f"{document.seconds:.0f} s")
    if document.run:
        lines.append(f"Written to {document.run}")
    return "\n".join(lines)
