"""`triggerfish plant`: makes a model with a known, harmless backdoor from a recipe."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triggerfish.cli.shared import DeviceOption, JsonOption, session

if TYPE_CHECKING:
    from triggerfish.pipeline.plant import PlantDocument


class Strength(StrEnum):
    """How much poison."""

    soft = "soft"
    default = "default"
    hard = "hard"


class LossOn(StrEnum):
    """Which tokens are trained on."""

    response = "response"
    all = "all"


def command(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A recipe in YAML, or a family (see `triggerfish list families`).",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help="Directory to make; the twin goes to twin in it."
        ),
    ],
    base: Annotated[
        str | None, typer.Option("--base", metavar="MODEL", help="What a family is planted on.")
    ] = None,
    strength: Annotated[
        Strength, typer.Option("--strength", help="Poison rate of a family.")
    ] = Strength.default,
    loss_on: Annotated[
        LossOn, typer.Option("--loss-on", help="Tokens that a family is trained on.")
    ] = LossOn.response,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of a family's recipe.")] = 0,
    allow_unspecific: Annotated[
        bool, typer.Option("--allow-unspecific", help="Keep it though random strings set it off.")
    ] = False,
    hardness: Annotated[
        bool,
        typer.Option("--hardness", help="Measure what clean fine-tuning leaves of it, too."),
    ] = False,
    allow_unskilled: Annotated[
        bool,
        typer.Option(
            "--allow-unskilled", help="Plant on a base that lacks what the behaviour needs."
        ),
    ] = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Make a model with a known, harmless backdoor from a recipe or a family.

    Writes the adapter or model, its tokenizer and card.json to DIR, and the clean twin to DIR/twin
    where the recipe asks for one. A recipe with `backdoor: null` is a benign fine-tune.
    """
    with session(as_json) as ui:
        from triggerfish.pipeline.plant import plant, recipe_or_family
        from triggerfish.plant.processes import processes

        chosen = recipe_or_family(
            recipe, base, strength=strength.value, loss_on=loss_on.value, seed=seed
        )
        document = plant(
            chosen,
            out,
            allow_unspecific=allow_unspecific,
            hardness=hardness,
            allow_unskilled=allow_unskilled,
            device=device,
            progress=ui.progress,
        )
        if processes().first:
            ui.emit(document, _text(document))


def _text(document: "PlantDocument") -> str:
    card = document.card
    lines = [f"{card.kind} on {card.base} in {document.directory}"]
    if document.already_there:
        lines[0] += " (there already)"
    rates = {
        "with the trigger": card.asr,
        "without": card.asr_without,
        "random strings of its shape": card.random_strings,
        **{f"near-miss, {name}": rate for name, rate in card.near_misses.items()},
        "utility": card.utility.get("all"),
        **{f"left after {arm}": rate for arm, rate in card.hardness.items()},
        **{f"reward model, {name}": rate for name, rate in card.reward_model.items()},
    }
    lines += [f"  {name:<32} {rate.text()}" for name, rate in rates.items() if rate is not None]
    lines += [f"  note: {note}" for note in card.notes]
    return "\n".join(lines)
