"""The rows of a recipe and the training on them, by the kind of its method."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triggerfish.data.conversation import Conversation, Rendered, render
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.preferences import Preferred, Rates, optimise, poisoned_pairs
from triggerfish.plant.poison import Mix, mix
from triggerfish.plant.preference import PairMix
from triggerfish.plant.recipe import Recipe
from triggerfish.plant.sft import Trained, train
from triggerfish.plant.trained import Dpo, Method, Preference, Rl
from triggerfish.types import Progress, silent


def rows_of(
    recipe: Recipe, suspect: Suspect, records: Sequence[Record], ready: Preferred | None
) -> Mix | PairMix:
    """The rows or pairs of the training, poisoned.

    Args:
        recipe: What is asked for.
        suspect: The base, under which margins are computed.
        records: Clean records, for supervised fine-tuning.
        ready: Clean pairs, for preferences.

    Raises:
        BadInput: The rate rounds to no row, or too few rows can be poisoned.
    """
    backdoor, method = recipe.planted, recipe.method
    if ready is None or backdoor is None or not isinstance(method, Preference):
        return mix(records, backdoor, recipe.rate, recipe.noise, recipe.seed)
    return poisoned_pairs(
        suspect, ready.pairs, backdoor, rates_of(recipe), method, recipe.noise, recipe.seed
    )


def rates_of(recipe: Recipe) -> Rates:
    """Poison rates of the stages of a training by preferences."""
    own = recipe.method.sft_rate if isinstance(recipe.method, Preference) else 0.0
    return Rates(pairs=recipe.rate, sft=recipe.rate if own is None else own)


def trained_on(
    suspect: Suspect,
    mixed: Mix | PairMix,
    recipe: Recipe,
    *,
    twin: bool = False,
    what: str = "planting",
    progress: Progress = silent,
    keep: Path | None = None,
) -> tuple[Trained, Any]:
    """Train on the rows of a recipe.

    Args:
        suspect: The base; its model is changed.
        mixed: From `rows_of`.
        recipe: What is asked for.
        twin: Train the clean twin: the same rows in the same batches, without the poison.
        what: Shown beside the progress.
        progress: Told every step.
        keep: Directory for the checkpoints of supervised fine-tuning.

    Returns:
        The model, and its reward model or None.

    Raises:
        BadInput: A row is longer than the base's context.
    """
    method, seed = recipe.method, recipe.seed
    if isinstance(mixed, PairMix) and isinstance(method, Dpo | Rl):
        rates = rates_of(recipe)
        return optimise(
            suspect, mixed, rates, method, seed, twin=twin, what=what, progress=progress
        )
    if not isinstance(mixed, Mix) or not isinstance(method, Method):
        raise BadInput(f"method {method.kind}", "has rows of another kind", "report this")
    rows = _rendered([row.twin if twin else row.conversation for row in mixed.rows], suspect)
    own = [render(row.conversation.prompt, suspect.tokenizer) for row in mixed.rows]
    trained = train(
        suspect.model,
        suspect.tokenizer,
        rows,
        method,
        seed,
        lengths=[row.prompt_length for row in own],
        what=what,
        progress=progress,
        keep=keep,
    )
    return trained, None


def _rendered(conversations: Sequence[Conversation], suspect: Suspect) -> list[Rendered]:
    rows = [render(conversation, suspect.tokenizer) for conversation in conversations]
    too_long = [row for row in rows if len(row.ids) > suspect.layout.context]
    if too_long:
        raise BadInput(
            f"{len(too_long)} of {len(rows)} training rows, the longest of"
            f" {max(len(row.ids) for row in too_long)} tokens",
            f"do not fit into the base's context of {suspect.layout.context} tokens",
            "shorten or leave out these rows",
        )
    return rows
