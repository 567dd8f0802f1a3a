"""What a user asks of `remove`, from model arguments and paths to loaded things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triggerfish.backdoors.backdoor import Backdoor, backdoor_from_spec
from triggerfish.data.records import Record, read_records
from triggerfish.errors import BadInput
from triggerfish.models import source
from triggerfish.models.load import load
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.removal_data import policy_data
from triggerfish.pipeline.removal_document import RemovalDocument
from triggerfish.pipeline.remove import RemovalSettings, remove
from triggerfish.plant.card import CARD, Card, read_card
from triggerfish.types import Progress, silent


@dataclass(frozen=True, kw_only=True)
class RemovalRequest:
    """A removal as a user writes it.

    Attributes:
        model: a model argument.
        settings: what to do.
        card: card of the organism, for measuring; the model's own where None.
        backdoor: trigger and behaviour as in a recipe, instead of a card.
        twin: model argument of the clean twin; the card's where None; "none" leaves it out.
        data: JSON lines of records.
        asked: D_SA, JSON lines; instead of `data`, together with `benign`.
        unwanted: D_SA-H, JSON lines.
        benign: D_PA, JSON lines.
        out: directory of the defended model and of the run.
        load: further arguments of `models.load`.
        reproduce: the command line.
    """

    model: str
    settings: RemovalSettings
    card: str | None = None
    backdoor: Mapping[str, Any] | None = None
    twin: str | None = None
    data: str | None = None
    asked: str | None = None
    unwanted: str | None = None
    benign: str | None = None
    out: str | None = None
    load: Mapping[str, Any] | None = None
    reproduce: str = ""


def remove_as_asked(request: RemovalRequest, progress: Progress = silent) -> RemovalDocument:
    """Load what the request names, and remove.

    Raises:
        BadInput: anything in the request that does not fit; before a model is trained.
    """
    records, unwanted = _records(request)
    backdoor, twin = _known(request)
    options = dict(request.load or {})
    suspect = load(request.model, **options)
    return remove(
        suspect,
        request.settings,
        backdoor=backdoor,
        twin=_twin(twin, options),
        records=records,
        unwanted=unwanted,
        out=request.out,
        reproduce=request.reproduce,
        progress=progress,
    )


def _records(request: RemovalRequest) -> tuple[list[Record] | None, list[Record]]:
    asked, benign = request.asked, request.benign
    if request.data is not None and (asked or benign or request.unwanted):
        raise BadInput(
            "data and policy sets", "records come from one or the other", "leave one out"
        )
    if request.data is not None:
        return read_records(request.data), []
    if asked is None and benign is None and request.unwanted is None:
        return None, []
    if asked is None or benign is None:
        raise BadInput("one policy set", "D_SA and D_PA belong together", "give both")
    unwanted = read_records(request.unwanted) if request.unwanted else []
    return policy_data(read_records(asked), unwanted, read_records(benign))


def _known(request: RemovalRequest) -> tuple[Backdoor | None, str | None]:
    """Backdoor and twin, as far as they are known; for measuring only."""
    if request.backdoor is not None:
        if request.card is not None:
            raise BadInput("a card and a trigger", "one of them is enough", "leave one out")
        return backdoor_from_spec(request.backdoor), _asked_twin(request, None)
    place = Path(request.card) if request.card else _own_card(request)
    if place is None:
        return None, _asked_twin(request, None)
    card = read_card(place)
    directory = place if place.is_dir() else place.parent
    return card.planted, _asked_twin(request, _card_twin(card, directory))


def _own_card(request: RemovalRequest) -> Path | None:
    adapter = (request.load or {}).get("adapter")
    directory = Path(adapter) if adapter else source.resolve(request.model)
    return directory if (directory / CARD).is_file() else None


def _card_twin(card: Card, directory: Path) -> str | None:
    if card.clean_twin is None:
        return None
    twin = directory / card.clean_twin
    return str(twin) if twin.is_dir() else None


def _asked_twin(request: RemovalRequest, found: str | None) -> str | None:
    if request.twin == "none":
        return None
    return request.twin or found


def _twin(model: str | None, options: Mapping[str, Any]) -> Suspect | None:
    if model is None:
        return None
    kept = {name: options[name] for name in ("device", "dtype") if name in options}
    return load(model, **kept)
