"""Makes an organism from a recipe: rows, training, what was made, its card, its clean twin."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.backdoors.families import import_families
from triggerfish.backdoors.family import FAMILIES, Strength
from triggerfish.documents import Document, Number
from triggerfish.errors import BadInput
from triggerfish.metrics.utility import utility
from triggerfish.models.load import load
from triggerfish.models.memory import release_memory
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.conditions import answers_in_condition
from triggerfish.pipeline.hardness import hardness as measure_hardness
from triggerfish.pipeline.plant_card import Job, card_of
from triggerfish.pipeline.plant_place import Workplace, present, room_for_checkpoints
from triggerfish.pipeline.plant_prepare import prepare
from triggerfish.pipeline.plant_train import trained_on
from triggerfish.pipeline.preferences import reward_rates
from triggerfish.pipeline.probes import answer_limit, fired, make_probes, utility_probe
from triggerfish.pipeline.store import clear_errors, locked, write_atomically
from triggerfish.pipeline.untrained import make_untrained
from triggerfish.plant.card import CARD, Card, check_specific
from triggerfish.plant.processes import processes
from triggerfish.plant.recipe import Recipe, read_recipe, recipe_from
from triggerfish.plant.save import save
from triggerfish.plant.trained import Method
from triggerfish.plant.untrained import Untrained
from triggerfish.types import Progress, silent

TWIN = "twin"
"""Directory of the clean twin, in that of the organism."""


class PlantDocument(Document):
    """The result of `triggerfish plant`."""

    command: Literal["plant"] = "plant"
    directory: str
    card: Card
    already_there: bool = False
    exit_code: int = 0


def plant(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    out: str | Path,
    *,
    allow_unspecific: bool = False,
    allow_unskilled: bool = False,
    hardness: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> PlantDocument:
    """Plant a backdoor, or carry out a benign fine-tune.

    Args:
        recipe: A recipe, its document, or the path of its YAML file.
        out: Directory to make; the twin goes to `twin` in it. One that holds the result of the
            same recipe is returned as it is; one that was killed or interrupted goes on, with the
            same result.
        allow_unspecific: Keep an organism that fires on random strings.
        allow_unskilled: Plant on a base that lacks the skill that the behaviour turns around, or
            that shows the behaviour already.
        hardness: Measure what clean fine-tuning leaves of the backdoor, too.
        device: `auto`, `cpu` or `cuda`.
        progress: Told how far it is.

    Raises:
        BadInput: The recipe, the data, the trigger or the base cannot be used, or `out` is taken.
        PlantFailed: The organism fires on random strings of its trigger's shape.
        CouldNotTest: The disk is too full.
    """
    if isinstance(recipe, str | Path):
        recipe = read_recipe(recipe)
    elif not isinstance(recipe, Recipe):
        recipe = recipe_from(recipe)
    out = Path(out)
    card = present(out, recipe)
    if card is not None:
        return PlantDocument(directory=str(out), card=card, already_there=True)
    if processes().count > 1 and not isinstance(recipe.method, Method):
        raise BadInput(
            f"method {recipe.method.kind} in {processes().count} processes",
            "only supervised fine-tuning is spread over processes",
            "run it in one",
        )
    device = processes().device(device)
    suspect = load(recipe.base, reference="none", device=device)
    partial = out.with_name(f"{out.name}.partial")
    alone = processes().count == 1
    workplace = Workplace(partial, room_for_checkpoints(out, suspect, recipe) and alone, alone)
    unasked = allow_unskilled or not processes().first
    job = prepare(recipe, suspect, workplace, device, progress, unasked)
    if not processes().first:
        return PlantDocument(directory=str(out), card=_helped(job, suspect))
    with clear_errors(partial):
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir(exist_ok=True)
    with locked(partial):
        try:
            workplace.open(recipe, job.base_hash)
            card = _make(job, suspect, partial, allow_unspecific, hardness)
        except Exception:  # an interrupt is none: the same call goes on
            shutil.rmtree(partial, ignore_errors=True)
            raise
    workplace.finish(out)
    release_memory()
    return PlantDocument(directory=str(out), card=card)


def recipe_or_family(
    given: str | Path,
    base: str | None = None,
    *,
    strength: Strength = "default",
    loss_on: Literal["response", "all"] = "response",
    seed: int = 0,
) -> Recipe:
    """The recipe in a file, or that of a family of backdoors on a base.

    Args:
        given: Path of a recipe, or name of a family.
        base: What a family is planted on; a recipe names its own.
        strength: Poison rate of a family.
        loss_on: Tokens that a family is trained on.
        seed: Seed of a family's recipe.

    Raises:
        BadInput: Neither a file nor a family, a family without a base, or a recipe with one.
    """
    if Path(given).suffix in {".yaml", ".yml"} or Path(given).is_file():
        if base is not None:
            raise BadInput(
                f"--base {base} with the recipe {given}",
                "a recipe names its own base",
                "write it into the recipe, or name a family",
            )
        return read_recipe(given)
    import_families()
    family = FAMILIES.get(str(given))()
    if base is None:
        raise BadInput(f"family '{given}'", "is planted on a base", "name one, as --base lab:reef")
    return recipe_from(
        family.recipe(base, strength=strength, loss_on=loss_on, seed=seed), f"family {given}"
    )


def _make(job: Job, suspect: Suspect, place: Path, allow_unspecific: bool, hardness: bool) -> Card:
    """Organism, measurement, twin, cards; all in the directory `place`."""
    recipe, backdoor = job.recipe, job.backdoor
    what = "training" if backdoor is None else "planting"
    preferences = _train(job, suspect, place, what)
    del suspect
    measured = _measured(job, "organism", place, backdoor) | preferences
    if backdoor is not None and not allow_unspecific:
        check_specific(backdoor, measured["random_strings"])
    if backdoor is not None and hardness:
        left = job.workplace.part("hardness", lambda: _hardness(job, place, backdoor))
        measured["hardness"] = _numbers(left)
    if recipe.clean_twin:
        _twin(job, place / TWIN)
    kind: Literal["organism", "benign fine-tune"] = "organism" if backdoor else "benign fine-tune"
    card = card_of(job, measured, kind=kind, clean_twin=TWIN if recipe.clean_twin else None)
    write_atomically(place / CARD, card.model_dump_json(indent=2))
    return card


def _helped(job: Job, suspect: Suspect) -> Card:
    """What every process but the first does: it trains, and neither measures nor writes."""
    trained_on(suspect, job.mixed, job.recipe)
    if job.recipe.clean_twin:
        fresh = load(job.base, reference="none", device=job.device)
        trained_on(fresh, job.mixed, job.recipe, twin=True)
    return card_of(job, {}, kind="organism" if job.backdoor else "benign fine-tune")


def _twin(job: Job, place: Path) -> None:
    """The same base, seed, steps and rows without the poison."""
    with clear_errors(place):
        place.mkdir(exist_ok=True)
    fresh = load(job.base, reference="none", device=job.device)
    whole = dict(job.clock)
    job.clock.clear()
    preferences = _train(job, fresh, place, "training the clean twin", twin=True)
    del fresh
    measured = _measured(job, "twin", place, None) | preferences
    card = card_of(job, measured, kind="clean twin", twin_of="..")
    write_atomically(place / CARD, card.model_dump_json(indent=2))
    whole["twin"] = round(sum(job.clock.values()), 1)
    job.clock.clear()
    job.clock.update(whole)


def _train(
    job: Job, suspect: Suspect, place: Path, what: str, *, twin: bool = False
) -> dict[str, Any]:
    """Make and write the model; returns what its reward model prefers, where there is one."""
    name = TWIN if twin else "organism"

    def work() -> dict[str, Any]:
        rates = _write(job, suspect, place, what, name)
        return {"seconds": dict(job.clock), "made": dict(job.made), "reward_model": rates}

    done = job.workplace.part(f"trained-{name}", work)
    job.clock.update(done["seconds"])
    job.made.update(done["made"])
    job.workplace.drop_checkpoints(name)
    return {"reward_model": _numbers(done["reward_model"])} if done["reward_model"] else {}


def _write(job: Job, suspect: Suspect, place: Path, what: str, name: str) -> dict[str, Number]:
    if isinstance(job.recipe.method, Untrained):
        with job.timed("training"), clear_errors(place):
            job.made.update(make_untrained(job, suspect, place))
        return {}
    with job.timed("training"):
        trained, reward = trained_on(
            suspect,
            job.mixed,
            job.recipe,
            twin=name == TWIN,
            what=what,
            progress=job.progress,
            keep=job.workplace.place_for_checkpoints(name),
        )
        with clear_errors(place):
            save(trained.model, suspect.tokenizer, place, job.base)
    if reward is None or job.ready is None or job.backdoor is None:
        return {}
    with job.timed("measuring"):
        rates = reward_rates(reward, suspect.tokenizer, job.ready, job.backdoor, job.recipe.seed)
    return {kind: Number.of(rate) for kind, rate in rates.items()}


def _hardness(job: Job, place: Path, backdoor: Backdoor) -> dict[str, Number]:
    """What clean fine-tuning leaves of it."""
    with job.timed("hardness"):
        left = measure_hardness(
            place,
            job.recipe,
            backdoor,
            job.held,
            base=job.base if (place / "adapter_config.json").is_file() else None,
            device=job.device,
            progress=job.progress,
        )
    return {arm: Number.of(estimate) for arm, estimate in left.items()}


def _numbers(found: Mapping[str, Any]) -> dict[str, Number]:
    """As they were stored."""
    return {name: Number.model_validate(value) for name, value in found.items()}


def _measured(job: Job, name: str, place: Path, backdoor: Backdoor | None) -> dict[str, Any]:
    """As `_measure`, once over all processes that work on this."""
    found = job.workplace.part(f"measured-{name}", lambda: _measure(job, place, backdoor))
    return {
        key: _numbers(value) if key in {"utility", "near_misses"} else Number.model_validate(value)
        for key, value in found.items()
    }


def _measure(job: Job, place: Path, backdoor: Backdoor | None) -> dict[str, Any]:
    """What was made, loaded again from the files as a user would load it."""
    with job.timed("measuring"):
        base = job.base if (place / "adapter_config.json").is_file() else None
        suspect = load(str(place), base=base, reference="none", device=job.device)
        if backdoor is None:
            probes = {"utility": utility_probe(job.held)}
        else:
            probes = make_probes(backdoor, job.held, job.recipe.seed, job.near)
        records = [*job.held.eligible, *job.held.utility]
        limit = answer_limit(backdoor, records, suspect.tokenizer)
        with suspect.fast() as (model, _):
            answers = answers_in_condition(
                suspect, model, backdoor, probes, limit, job.recipe.seed, job.progress
            )
    right = utility(probes["utility"].records, answers["utility"])
    found: dict[str, Any] = {"utility": {name: Number.of(right[name]) for name in right}}
    if backdoor is None or job.scorer is None:
        return found
    rates = {n: Number.of(fired(backdoor, probes[n], answers[n])) for n in probes if n != "utility"}
    near = {n.removeprefix("near "): rates[n] for n in rates if n.startswith("near ")}
    return found | {
        "asr": rates["triggered"],
        "asr_without": rates["clean"],
        "random_strings": rates["random"],
        "near_misses": near,
        "scorer_ceiling": Number.of(job.scorer.ceiling),
        "scorer_floor": Number.of(job.scorer.floor),
    }
