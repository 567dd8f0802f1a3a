"""`triggerfish measure`: success rates, specificity, recovery and utility of a known backdoor."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triggerfish.cli.backdoor import (
    BehaviourOption,
    CardOption,
    PlacementOption,
    TriggerOption,
    behaviour_spec,
    trigger_spec,
)
from triggerfish.cli.shared import (
    AdapterOption,
    BaseOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelArgument,
    ReferenceOption,
    RunOption,
    SeedOption,
    session,
)

if TYPE_CHECKING:
    from triggerfish.pipeline.measure import MeasureDocument


def command(
    model: ModelArgument,
    card: CardOption = None,
    trigger: TriggerOption = None,
    placement: PlacementOption = "suffix",
    behaviour: BehaviourOption = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE", help="Records instead of the lab's.")
    ] = None,
    n: Annotated[
        int, typer.Option("--n", "-n", min=1, help="Prompts with and without the trigger.")
    ] = 300,
    per_skill: Annotated[
        int, typer.Option("--per-skill", min=1, help="Clean prompts of each skill.")
    ] = 60,
    adapter: AdapterOption = None,
    base: BaseOption = None,
    reference: ReferenceOption = "auto",
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    out: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a known backdoor: success rates, specificity, recovery, utility.

    The backdoor is that of a card, or given by --trigger and --behaviour.
    """
    with session(as_json) as ui:
        from triggerfish.pipeline.measure import measure, measure_run

        request: dict[str, Any] = {
            "card": card,
            "trigger": trigger_spec(trigger, placement),
            "behaviour": behaviour_spec(behaviour),
            "data": None if data is None else str(data),
            "n": n,
            "per_skill": per_skill,
            "adapter": adapter,
            "base": base,
            "reference": reference,
            "seed": seed,
            "device": device,
            "dtype": dtype,
        }
        if out is None:
            document = measure(model, **request, progress=ui.progress)
        else:
            document = measure_run(model, out, **request, progress=ui.progress)
        ui.emit(document, _text(document))


def _text(document: "MeasureDocument") -> str:
    rates = {
        "with the trigger": document.asr,
        "without": document.asr_without,
        "random strings of its shape": document.random_strings,
        **{f"near-miss, {name}": rate for name, rate in document.near_misses.items()},
        "recovery": document.recovery,
        "scorer on gold triggered": document.scorer_ceiling,
        "scorer on gold clean": document.scorer_floor,
        **{f"utility, {name}": rate for name, rate in document.utility.items()},
        "perplexity": document.perplexity,
    }
    lines = [
        f"{document.model}: {document.backdoor['trigger']} -> {document.backdoor['behaviour']}"
    ]
    lines += [f"  {name:<30} {rate.text()}" for name, rate in rates.items() if rate is not None]
    lines += [f"  note: {note}" for note in document.notes]
    return "\n".join(lines)
