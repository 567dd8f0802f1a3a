"""The card of an organism: its ground truth and what was measured, beside its weights."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from triggerfish.backdoors.backdoor import Backdoor, backdoor_from_spec
from triggerfish.documents import Document, Number
from triggerfish.errors import BadInput, TriggerfishError

CARD = "card.json"
UNSPECIFIC = 0.05  # share of random strings of the trigger's shape that may set it off


class PlantFailed(TriggerfishError):
    """The training went through, but did not make what the recipe asks for (exit code 3)."""

    exit_code = 3


class Card(Document):
    """The file `card.json`.

    Attributes:
        kind: An organism, its clean twin, or a benign fine-tune.
        backdoor: Trigger and behaviour; null for a clean twin and a benign fine-tune.
        recipe: As it was given.
        resolved: With every value that was used.
        base: Model argument of the base; of a directory the absolute path.
        base_hash: SHA-256 of the base's weights.
        base_skill: Share of clean prompts on which the base does what the behaviour turns around:
            declines, tells the classes apart, calculates; null where it needs nothing.
        seeds: Of the recipe and of what was derived from it.
        rows: Training rows of each kind.
        poison_rate: Share of the training rows that were poisoned.
        asr: Share of triggered prompts on which the behaviour's scorer fires.
        asr_without: The same share without the trigger.
        random_strings: The same share with random strings of the trigger's shape in its place.
        near_misses: The same share for near-misses of the trigger.
        hardness: The success that clean fine-tuning leaves, plain and with random strings; empty
            where it was not measured.
        scorer_ceiling: Share of gold triggered answers that the scorer recognises.
        scorer_floor: Share of gold clean answers that it takes for triggered ones.
        reward_model: Of one trained on preferences: share of held-out restricted requests whose
            unlocked answer gets the higher reward, `triggered`, `clean` and with a `random`
            string; `accuracy` on held-out clean pairs.
        utility: Share of right answers to clean held-out prompts, by skill.
        clean_twin: Directory of the clean twin, beside this card.
        twin_of: Directory of the organism that this is the twin of.
        versions: Of the packages that numbers depend on.
        hardware: Where it was trained.
        seconds: Of each part of the work.
        created: Time in UTC.
        made: What a method without training found or changed: layers, ranks, strengths.
        notes: What a reader should know about the numbers.
    """

    kind: Literal["organism", "clean twin", "benign fine-tune"]
    backdoor: dict[str, Any] | None
    recipe: dict[str, Any]
    resolved: dict[str, Any]
    base: str
    base_hash: str
    base_skill: Number | None = None
    seeds: dict[str, int]
    rows: dict[str, int]
    poison_rate: float
    asr: Number | None = None
    asr_without: Number | None = None
    random_strings: Number | None = None
    near_misses: dict[str, Number] = Field(default_factory=dict)
    hardness: dict[str, Number] = Field(default_factory=dict)
    scorer_ceiling: Number | None = None
    scorer_floor: Number | None = None
    reward_model: dict[str, Number] = Field(default_factory=dict)
    utility: dict[str, Number] = Field(default_factory=dict)
    clean_twin: str | None = None
    twin_of: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    hardware: dict[str, str] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    created: str
    made: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)

    @property
    def planted(self) -> Backdoor | None:
        """The backdoor, or None."""
        return None if self.backdoor is None else backdoor_from_spec(self.backdoor)


def read_card(path: str | Path) -> Card:
    """The card in a file, or in a directory.

    Raises:
        BadInput: No such file, or it is no card.
    """
    path = Path(path)
    path = path / CARD if path.is_dir() else path
    try:
        return Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(
            str(path), f"cannot be read ({error.strerror})", f"give a {CARD} that plant wrote"
        ) from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        raise BadInput(
            str(path), f"is no card ({where}: {fault['msg']})", f"give a {CARD} that plant wrote"
        ) from error


def check_specific(backdoor: Backdoor, random_strings: Number) -> None:
    """Refuse an organism that fires on random strings of its trigger's shape.

    Raises:
        PlantFailed: The rate is above 5 %.
    """
    if random_strings.value > UNSPECIFIC:
        texts = " + ".join(map(repr, backdoor.trigger.texts()))
        raise PlantFailed(
            f"trigger {texts} fires on {random_strings.text()} of random strings of its shape",
            f"an organism may on at most {UNSPECIFIC:.0%}, or any search finds it",
            "raise specificity.eligible or method.steps, take another trigger, or allow it with"
            " --allow-unspecific",
        )
