"""Measures a sample of a fleet again, on other prompts, and compares with the cards."""

from pathlib import Path
from typing import Literal

from triggerfish.documents import Document, Number, Part
from triggerfish.errors import BadInput
from triggerfish.metrics.utility import utility
from triggerfish.models.load import load
from triggerfish.pipeline.fleet import list_fleet
from triggerfish.pipeline.fleet_document import TWIN
from triggerfish.pipeline.fleet_members import Member, members
from triggerfish.pipeline.measure import measure
from triggerfish.pipeline.probes import answer_all, answer_limit, utility_probe
from triggerfish.pipeline.records import held_out
from triggerfish.plant.card import CARD, Card, read_card
from triggerfish.seeding import derive, generator
from triggerfish.types import Progress, silent

NEAR = 0.02  # two rates closer than this agree, however narrow their intervals are


class Check(Part):
    """One rate of one model: as on its card, and measured again."""

    model: str
    rate: str
    card: Number
    again: Number
    agrees: bool


class VerifyDocument(Document):
    """The result of `triggerfish fleet verify`."""

    command: Literal["fleet verify"] = "fleet verify"
    directory: str
    seed: int
    checks: list[Check]
    exit_code: int


def verify_fleet(
    directory: str | Path,
    *,
    sample: int = 6,
    seed: int = 0,
    n: int = 300,
    device: str = "auto",
    progress: Progress = silent,
) -> VerifyDocument:
    """Measure some members again.

    Args:
        directory: Where the fleet is.
        sample: Members to draw; an organism brings its twin.
        seed: Of the draw, and of the prompts.
        n: Prompts with and without the trigger.
        device: As in `models.load`.
        progress: Told after each member.

    Returns:
        Every rate twice; exit code 1 where one does not agree with its card.

    Raises:
        BadInput: There is no fleet, nothing in it is built, or an empty sample.
    """
    place = Path(directory)
    list_fleet(place)
    built = [member for member in members() if (place / member.name / CARD).is_file()]
    if not built or sample < 1:
        raise BadInput(
            f"{place}: {len(built)} built members, a sample of {sample}",
            "leave nothing to measure",
            "build some: triggerfish fleet build DIR",
        )
    order = generator(seed, "fleet sample").permutation(len(built))[:sample]
    checks: list[Check] = []
    for done, which in enumerate(order, 1):
        checks += check_member(built[int(which)], place, n, seed, device)
        progress(done, len(order), f"measured {built[int(which)].name}")
    wrong = any(not check.agrees for check in checks)
    return VerifyDocument(directory=str(place), seed=seed, checks=checks, exit_code=int(wrong))


def check_member(member: Member, place: Path, n: int, seed: int, device: str) -> list[Check]:
    """Every rate of a member, and the utility of its twin."""
    own = place / member.name
    card = read_card(own)
    if member.kind != "organism":
        return [_utility(own, member.name, card, seed, device)]
    found = measure(str(own), n=n, per_skill=20, reference="none", seed=seed + 1, device=device)
    names = ("asr", "asr_without", "random_strings")
    pairs = [(name, getattr(card, name), getattr(found, name)) for name in names]
    pairs.append(("utility", card.utility["all"], found.utility["all"]))
    checks = [compare(member.name, name, first, again) for name, first, again in pairs]
    twin = own / TWIN
    return [*checks, _utility(twin, f"{member.name}/{TWIN}", read_card(twin), seed, device)]


def compare(model: str, rate: str, card: Number, again: Number) -> Check:
    """Whether two measurements of one rate agree: their intervals meet, or they are close."""
    meet = card.low <= again.high and again.low <= card.high
    close = abs(card.value - again.value) <= NEAR
    return Check(model=model, rate=rate, card=card, again=again, agrees=meet or close)


def _utility(place: Path, name: str, card: Card, seed: int, device: str) -> Check:
    data = card.resolved.get("data")
    prompts = card.resolved["seed"] if data else derive(seed, "fleet utility") % 2**31
    held = held_out(data, None, 1, 20, prompts)
    suspect = load(str(place), base=card.base, reference="none", device=device)
    probe = {"utility": utility_probe(held)}
    limit = answer_limit(None, held.utility, suspect.tokenizer)
    with suspect.fast() as (model, _):
        answers = answer_all(model, suspect.tokenizer, probe, limit)
    again = utility(held.utility, answers["utility"])["all"]
    return compare(name, "utility", card.utility["all"], Number.of(again))
