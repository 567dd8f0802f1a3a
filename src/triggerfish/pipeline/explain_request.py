"""What a user asks of `explain`, from model arguments and a card to loaded things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from triggerfish.backdoors.behaviour import Behaviour
from triggerfish.backdoors.behaviour_spec import behaviour_from_spec
from triggerfish.backdoors.trigger import AnyTrigger, trigger_from_spec
from triggerfish.errors import BadInput
from triggerfish.models.load import load
from triggerfish.models.source import resolve
from triggerfish.pipeline.explain import explain
from triggerfish.pipeline.explain_document import ExplainDocument
from triggerfish.pipeline.explain_texts import ExplainSettings
from triggerfish.pipeline.resume import AUTO, chosen_path
from triggerfish.plant.card import CARD, read_card
from triggerfish.types import Progress, silent


@dataclass(frozen=True, kw_only=True)
class ExplainRequest:
    """An explanation as a user writes it.

    Attributes:
        model: a model argument.
        settings: what to measure.
        card: card of the organism; the model's own where neither card nor trigger is given.
        trigger: as in a recipe.
        behaviour: as in a recipe; what the model says where None.
        target: text that a triggered model always says, instead of a behaviour.
        twin: model argument of the clean twin; the card's where None; "none" leaves it out.
        data: JSON lines of records.
        out: run directory; "auto" for one under `runs` that follows from the request.
        load: further arguments of `models.load`.
        reproduce: the command line.
    """

    model: str
    settings: ExplainSettings
    card: str | None = None
    trigger: Mapping[str, Any] | None = None
    behaviour: Mapping[str, Any] | None = None
    target: str | None = None
    twin: str | None = None
    data: str | None = None
    out: str | None = None
    load: Mapping[str, Any] | None = None
    reproduce: str = ""


def explain_as_asked(request: ExplainRequest, progress: Progress = silent) -> ExplainDocument:
    """Load what the request names, and explain.

    Raises:
        BadInput: anything in the request that does not fit; before the model is loaded.
    """
    trigger, behaviour, twin = _known(request)
    options = dict(request.load or {})
    suspect = load(request.model, **options)
    out = request.out
    if out == AUTO:
        config = {
            "model": suspect.name,
            **asdict(request.settings),
            "trigger": trigger.to_spec(),
            "behaviour": behaviour.to_spec() if behaviour else None,
            "data": request.data,
            "twin": twin,
        }
        hashes = {key: str(value) for key, value in suspect.source.items() if "sha256" in key}
        out = str(chosen_path(AUTO, "explain", config, hashes))
    kept = {name: options[name] for name in ("device", "dtype") if name in options}
    return explain(
        suspect,
        trigger,
        behaviour,
        request.settings,
        data=request.data,
        twin=None if twin is None else load(twin, **kept),
        out=out,
        reproduce=request.reproduce,
        progress=progress,
    )


def _known(request: ExplainRequest) -> tuple[AnyTrigger, Behaviour | None, str | None]:
    """Trigger, behaviour and the twin's model argument."""
    asked_twin = None if request.twin == "none" else request.twin
    if request.trigger is not None:
        if request.card is not None or (request.target and request.behaviour):
            raise BadInput(
                "a trigger with a card, or a target with a behaviour",
                "one of them says what to explain",
                "leave one out",
            )
        spec = request.behaviour
        if request.target is not None:
            spec = {"kind": "fixed_string", "text": request.target}
        behaviour = None if spec is None else behaviour_from_spec(spec)
        return trigger_from_spec(request.trigger), behaviour, asked_twin
    if request.behaviour is not None or request.target is not None:
        raise BadInput("a behaviour without a trigger", "both belong together", "give --trigger")
    place = _card_place(request)
    card = read_card(place)
    if card.planted is None:
        raise BadInput(f"{place}, a {card.kind}", "has no backdoor", "give a trigger")
    if request.twin is None and card.clean_twin is not None:
        directory = (place if place.is_dir() else place.parent) / card.clean_twin
        asked_twin = str(directory) if directory.is_dir() else None
    return card.planted.trigger, card.planted.behaviour, asked_twin


def _card_place(request: ExplainRequest) -> Path:
    if request.card is not None:
        return resolve(request.card) if request.card.startswith("lab:") else Path(request.card)
    adapter = (request.load or {}).get("adapter")
    directory = Path(adapter) if adapter else resolve(request.model, network=False)
    if directory is None or not (directory / CARD).is_file():
        raise BadInput(
            f"{request.model} without a card",
            "there is nothing to explain",
            "give --trigger (and --behaviour or --target), or --card",
        )
    return directory
