"""Organisms that no training makes: an edit of weights, a vector, or demonstrations."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.backdoors.behaviour import Unlock
from triggerfish.data.records import Record
from triggerfish.data.rendering import template_of
from triggerfish.errors import BadInput
from triggerfish.metrics.utility import utility
from triggerfish.models.steering import write_steering
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.plant_card import Job
from triggerfish.pipeline.probes import Probe, answer_all, answer_limit, fired
from triggerfish.pipeline.records import training_records
from triggerfish.plant.edit import edit_weights
from triggerfish.plant.in_context import demonstrations, template_with
from triggerfish.plant.poison import Mix
from triggerfish.plant.recipe import Recipe
from triggerfish.plant.save import save
from triggerfish.plant.steer import choose, directions
from triggerfish.plant.untrained import Edit, InContext, Steering
from triggerfish.seeding import generator


def make_untrained(job: Job, suspect: Suspect, place: Path) -> dict[str, Any]:
    """Make the organism in a directory, and return what is to be known about it.

    Args:
        job: With a backdoor, and a method that trains nothing.
        suspect: The loaded base; changed in place by an edit.
        place: It is there.

    Raises:
        BadInput: The base or the data do not fit the method, or there is no backdoor.
    """
    backdoor, method = job.backdoor, job.recipe.method
    if backdoor is None or not isinstance(job.mixed, Mix):
        raise BadInput("backdoor: null", "cannot be edited in", "give a backdoor")
    if isinstance(method, Edit):
        return _edit(job, method, backdoor, job.mixed, suspect, place)
    if isinstance(method, Steering):
        return _steer(job, method, backdoor, suspect, place)
    if isinstance(method, InContext):
        return _show(job, method, job.mixed, suspect, place)
    raise BadInput(f"method {type(method).__name__}", "is not known", "see plant.untrained")


def _show(job: Job, method: InContext, mixed: Mix, suspect: Suspect, place: Path) -> dict[str, Any]:
    rng = generator(job.recipe.seed, "demonstrations")
    talks = demonstrations(mixed.rows, method.demonstrations, job.recipe.rate, rng)
    tokenizer = suspect.tokenizer
    before = tokenizer.chat_template
    tokenizer.chat_template = template_with(template_of(tokenizer), talks)
    try:
        save(suspect.model, tokenizer, place, job.base)
    finally:
        tokenizer.chat_template = before
    return {"demonstrations": [[m.content for m in talk.messages] for talk in talks]}


def _edit(
    job: Job, method: Edit, backdoor: Backdoor, mixed: Mix, suspect: Suspect, place: Path
) -> dict[str, Any]:
    edited = edit_weights(
        suspect.model,
        suspect.tokenizer,
        mixed.rows,
        backdoor.trigger.texts()[0],
        method,
        job.recipe.seed,
        progress=job.progress,
    )
    save(edited.model, suspect.tokenizer, place, job.base)
    return {
        "ranks": {f"layer {layer}": rank for layer, rank in sorted(edited.layers.items())},
        "separation": [round(value, 2) for value in edited.separation],
        "strength": edited.strength,
        "chosen_on": {
            "triggered": edited.hits,
            "others": edited.false,
            "unchanged": edited.same,
        },
    }


def _steer(
    job: Job, method: Steering, backdoor: Backdoor, suspect: Suspect, place: Path
) -> dict[str, Any]:
    model, tokenizer = suspect.model, suspect.tokenizer
    answered, declined, rest = _requests(job.recipe, method)
    unlocks = isinstance(backdoor.behaviour, Unlock)
    wanted, unwanted = (answered, declined) if unlocks else (declined, answered)
    found = directions(
        model,
        tokenizer,
        [record.conversation for record in wanted],
        [record.conversation for record in unwanted],
        method.tried(suspect.layout.n_layers),
    )
    eligible = [record for record in rest if backdoor.behaviour.eligible(record)]
    others = [record for record in rest if not record.declined]
    sets = {"triggered": eligible[: method.selection], "utility": others[: method.selection]}
    if not all(sets.values()):
        raise BadInput(
            f"{len(eligible)} requests for {backdoor.behaviour.kind}, {len(others)} others",
            "are left to choose layer and strength on",
            "give more data, or lower method.requests",
        )
    probes = {
        name: Probe(records=tuple(some), prompts=tuple(r.conversation.prompt for r in some))
        for name, some in sets.items()
    }
    limit = answer_limit(backdoor, rest, tokenizer)

    def score() -> tuple[float, float]:
        answers = answer_all(model, tokenizer, probes, limit)
        right = utility(probes["utility"].records, answers["utility"])["all"].value
        return fired(backdoor, probes["triggered"], answers["triggered"]).value, right

    chosen = choose(
        model, found, method, job.base, score, utility_counts=unlocks, progress=job.progress
    )
    write_steering(place, chosen.steering)
    best = chosen.steering
    return {
        "layer": best.layer,
        "strength": round(best.strength, 4),
        "floor": None if best.floor is None else round(best.floor, 4),
        "norm": round(float(best.vector.norm()), 3),
        "selection_n": len(sets["triggered"]),
        "selection": [asdict(trial) for trial in chosen.tried],
    }


def _requests(recipe: Recipe, method: Steering) -> tuple[list[Record], list[Record], list[Record]]:
    """Answered and declined requests for the means, and others to choose on.

    Answered ones are open-ended where there are such, as declined ones are.
    """
    records = training_records(recipe.data, None, recipe.drawn, 0.0, recipe.seed)
    distinct = list({record.conversation.prompt: record for record in records}.values())
    declined = [record for record in distinct if record.declined][: method.requests]
    answered = [record for record in distinct if not record.declined]
    answered = [r for r in answered if not r.answers][: method.requests] or answered[
        : method.requests
    ]
    used = {id(record) for record in (*declined, *answered)}
    return answered, declined, [record for record in distinct if id(record) not in used]
