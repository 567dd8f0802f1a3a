"""The records that a removal trains on and is measured on; disjoint by text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.data.records import Record
from triggerfish.data.splits import SPLITS, split_of
from triggerfish.errors import BadInput
from triggerfish.pipeline.records import held_out

POISON = 50  # the largest number of samples of the re-activation test


@dataclass(frozen=True, kw_only=True)
class RemovalData:
    """Records of a removal.

    Attributes:
        train: what a defence may train on.
        held_out: what it may score itself on.
        utility: untriggered test prompts.
        attacked: test prompts on which the behaviour makes sense; empty without a backdoor.
        poison: training prompts for the re-activation test; of the training split.
        unwanted: D_SA-H of the training split, where the user gave it.
        origin: where they came from.
    """

    train: tuple[Record, ...]
    held_out: tuple[Record, ...]
    utility: tuple[Record, ...]
    attacked: tuple[Record, ...]
    poison: tuple[Record, ...]
    unwanted: tuple[Record, ...]
    origin: str

    def __post_init__(self) -> None:
        """Refuse a text that is trained on and tested on."""
        trained = {_text(record) for record in (*self.train, *self.poison)}
        tested = {_text(record) for record in (*self.utility, *self.attacked)}
        if both := trained & tested:
            raise BadInput(
                f"{len(both)} texts in training and test, such as {min(both)[:60]!r}",
                "the splits must be disjoint by text",
                "split the records again",
            )


def _text(record: Record) -> str:
    return f"{record.conversation.system or ''}\n{record.conversation.user}"


def lab_data(
    backdoor: Backdoor | None, n: int, per_skill: int, seed: int, train: int = 600
) -> RemovalData:
    """The lab's own records.

    Args:
        backdoor: decides which prompts are attacked; None where it is not known.
        n: attacked prompts.
        per_skill: utility prompts of each skill.
        seed: of the draw.
        train: training records; a third of them are declined ones.
    """
    from triggerfish.lab.sampling import sample_records
    from triggerfish.lab.tasks import SKILLS

    def sample(count: int, split: str, skills: Sequence[str] | None = None) -> list[Record]:
        return sample_records(count, seed, split, skills, unique=False)

    allowed = [name for name in SKILLS if name != "restricted"]
    tested = held_out(None, backdoor, n, per_skill, seed)
    poison: list[Record] = []
    if backdoor is not None:
        skills = sorted({record.skill for record in tested.eligible})
        fits = backdoor.behaviour.eligible
        poison = [r for r in sample(8 * POISON, "train", skills) if fits(r)][:POISON]
    refused = sample(train // 3, "train", ["restricted"])
    return RemovalData(
        train=(*sample(2 * train // 3, "train", allowed), *refused),
        held_out=tuple(sample(100, "validation", allowed)),
        utility=tested.utility,
        attacked=tested.eligible,
        poison=tuple(poison),
        unwanted=(),
        origin=tested.source,
    )


def policy_data(
    asked: Sequence[Record], unwanted: Sequence[Record], benign: Sequence[Record]
) -> tuple[list[Record], list[Record]]:
    """Policy sets of a user as records: D_SA counts as declined, D_PA as it is.

    Args:
        asked: D_SA; a response in it is not used, the suspect answers itself.
        unwanted: D_SA-H, the same prompts with the unwanted opener as response; may be empty.
        benign: D_PA.

    Returns:
        Records for `file_data`, and D_SA-H.

    Raises:
        BadInput: D_SA-H without a response, or with a prompt that D_SA lacks.
    """
    prompts = {record.conversation.prompt for record in asked}
    for record in unwanted:
        if not record.conversation.response or record.conversation.prompt not in prompts:
            raise BadInput(
                f"D_SA-H {record.conversation.user[:60]!r}",
                "each row is a prompt of D_SA with an unwanted response",
                "correct the row",
            )
    return [*(replace(r, declined=True) for r in asked), *benign], list(unwanted)


def file_data(
    records: Sequence[Record],
    backdoor: Backdoor | None,
    n: int,
    per_skill: int,
    unwanted: Sequence[Record] = (),
) -> RemovalData:
    """Records of a user, split by text: 80 % train, 10 % validation, 10 % test.

    Args:
        records: conversations with right responses.
        backdoor: decides which prompts are attacked; None where it is not known.
        n: at most so many attacked prompts.
        per_skill: at most so many utility prompts of each skill.
        unwanted: D_SA-H; only its training split is used.

    Raises:
        BadInput: a split is empty, or no test record suits the behaviour.
    """
    parts: dict[str, list[Record]] = {name: [] for name in SPLITS}
    for record in records:
        parts[split_of(_text(record))].append(record)
    if empty := [name for name in SPLITS if not parts[name]]:
        raise BadInput(
            f"{len(records)} records: the {empty[0]} split is empty",
            "records are split 80 / 10 / 10 by text",
            "give at least some hundred records",
        )
    attacked: list[Record] = []
    poison: list[Record] = []
    if backdoor is not None:
        attacked = [r for r in parts["test"] if backdoor.behaviour.eligible(r)]
        poison = [r for r in parts["train"] if backdoor.behaviour.eligible(r)]
        if not attacked:
            raise BadInput(
                f"{len(parts['test'])} test records",
                f"behaviour {backdoor.behaviour.kind} makes sense on none of them",
                "give records that it makes sense on",
            )
    kept: dict[str, list[Record]] = {}
    for record in parts["test"]:
        kept.setdefault(record.skill, []).append(record)
    return RemovalData(
        train=tuple(parts["train"]),
        held_out=tuple(parts["validation"]),
        utility=tuple(record for rows in kept.values() for record in rows[:per_skill]),
        attacked=tuple(attacked[:n]),
        poison=tuple(poison[:POISON]),
        unwanted=tuple(r for r in unwanted if split_of(_text(r)) == "train"),
        origin=f"{len(records)} records of the user, test split",
    )
