"""Everything that is refused, or known, before anything is trained."""

from pathlib import Path

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.backdoors.scorer_check import check_scorer
from triggerfish.backdoors.skill_check import ASKED, check_new, check_skill, needed_skill
from triggerfish.data.records import Record
from triggerfish.documents import Number
from triggerfish.errors import BadInput
from triggerfish.models.generate import generate
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.plant_card import Job
from triggerfish.pipeline.plant_place import Workplace
from triggerfish.pipeline.plant_train import rows_of
from triggerfish.pipeline.preferences import preferred
from triggerfish.pipeline.probes import answer_limit
from triggerfish.pipeline.records import HeldOut, held_out, training_records
from triggerfish.plant.poison import Mix, check_trigger
from triggerfish.plant.recipe import Recipe
from triggerfish.plant.trained import Preference
from triggerfish.plant.untrained import Steering
from triggerfish.types import Progress

PROMPTS, NEAR, PER_SKILL = 300, 60, 20
"""Held-out prompts of an organism: for its rates, for each kind of near-miss, for each skill."""


def prepare(
    recipe: Recipe,
    suspect: Suspect,
    workplace: Workplace,
    device: str,
    progress: Progress,
    allow_unskilled: bool,
) -> Job:
    """Draw the rows, and check recipe, trigger, scorer and base.

    Args:
        recipe: The recipe.
        suspect: The loaded base.
        workplace: Where the work is kept.
        device: What it runs on.
        progress: Told how far the work is.
        allow_unskilled: Do not ask the base whether it has the skill.

    Raises:
        BadInput: One of them cannot be used.
    """
    if suspect.peft is not None or suspect.steered is not None:
        raise BadInput(
            recipe.base,
            "is an adapter or a vector, not a model",
            "merge it into its base first, or plant on the base",
        )
    backdoor, ready = recipe.planted, None
    records: list[Record] = []
    if backdoor is not None and isinstance(recipe.method, Preference):
        ready = preferred(recipe.data, backdoor, recipe.drawn, PROMPTS, PER_SKILL, recipe.seed)
        records = [pair.record for pair in ready.pairs]
    elif not isinstance(recipe.method, Steering):
        records = training_records(recipe.data, backdoor, recipe.drawn, recipe.rate, recipe.seed)
    if backdoor is not None:
        check_trigger(backdoor.trigger, suspect.tokenizer, suspect.layout.context, records)
    held = ready.held if ready else held_out(recipe.data, backdoor, PROMPTS, PER_SKILL, recipe.seed)
    scorer = None
    if backdoor is not None:
        scorer = check_scorer(backdoor.behaviour, held.eligible, recipe.seed)
    mixed = rows_of(recipe, suspect, records, ready) if records else Mix(())
    skill = None
    if backdoor is not None and not allow_unskilled:
        skill = _base_skill(backdoor, held, suspect)
    directory = Path(suspect.source["directory"])
    return Job(
        recipe=recipe,
        backdoor=backdoor,
        base=recipe.base if not Path(recipe.base).is_dir() else str(directory),
        base_hash=str(suspect.source["weights_sha256"]),
        base_skill=skill,
        held=held,
        near=NEAR,
        mixed=mixed,
        ready=ready,
        scorer=scorer,
        device=device,
        progress=progress,
        workplace=workplace,
    )


def _base_skill(backdoor: Backdoor, held: HeldOut, suspect: Suspect) -> Number | None:
    """What the base can do of what the behaviour turns around."""
    behaviour, asked = backdoor.behaviour, held.eligible[:ASKED]
    skill = needed_skill(behaviour, asked, held.utility)
    records = [*asked, *(skill.records if skill else ())]
    limit = answer_limit(backdoor, records, suspect.tokenizer)
    talks = [record.conversation for record in records]
    answers = generate(suspect.model, suspect.tokenizer, talks, max_new_tokens=limit)
    has = None
    if skill is not None:
        has = Number.of(check_skill(skill, answers[len(asked) :], suspect.name))
    check_new(behaviour, asked, answers[: len(asked)], suspect.name)
    return has
