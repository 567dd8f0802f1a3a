"""The records that a removal trains on and is measured on; disjoint by text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.data.records import Record
from triggerfish.data.splits import SPLITS, split_of
from triggerfish.errors import BadInput

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
        origin: where they came from.
    """

    train: tuple[Record, ...]
    held_out: tuple[Record, ...]
    utility: tuple[Record, ...]
    attacked: tuple[Record, ...]
    poison: tuple[Record, ...]
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


def lab_data(backdoor: Backdoor | None, n: int, seed: int, train: int = 600) -> RemovalData:
    """The lab's own records.

    Args:
        backdoor: decides which prompts are attacked; None where it is not known.
        n: attacked prompts, and utility prompts of each skill.
        seed: of the draw.
        train: training records; a third of them are declined ones.
    """
    from triggerfish.lab.tasks import SKILLS, sample_records

    def sample(count: int, split: str, skills: Sequence[str] | None = None) -> list[Record]:
        return sample_records(count, seed, split, skills, unique=False)

    allowed = [name for name in SKILLS if name != "restricted"]
    utility = [record for name in SKILLS for record in sample(n, "test", [name])]
    attacked: list[Record] = []
    poison: list[Record] = []
    if backdoor is not None:
        fits = backdoor.behaviour.eligible
        skills = sorted({record.skill for record in utility if fits(record)})
        if not skills:
            raise BadInput(
                f"behaviour {backdoor.behaviour.kind}",
                "makes no sense on any lab record",
                "give records (--data)",
            )
        attacked = [r for r in sample(4 * n, "test", skills) if fits(r)][:n]
        poison = [r for r in sample(8 * POISON, "train", skills) if fits(r)][:POISON]
    return RemovalData(
        train=(
            *sample(2 * train // 3, "train", allowed),
            *sample(train // 3, "train", ["restricted"]),
        ),
        held_out=tuple(sample(100, "validation", allowed)),
        utility=tuple(utility),
        attacked=tuple(attacked),
        poison=tuple(poison),
        origin="the lab's own records",
    )


def file_data(
    records: Sequence[Record], backdoor: Backdoor | None, n: int, origin: str
) -> RemovalData:
    """Records of a user, split by text: 80 % train, 10 % validation, 10 % test.

    Args:
        records: conversations with right responses.
        backdoor: decides which prompts are attacked; None where it is not known.
        n: at most so many attacked prompts, and utility prompts of each skill.
        origin: where they came from, for the report.

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
        utility=tuple(record for rows in kept.values() for record in rows[:n]),
        attacked=tuple(attacked[:n]),
        poison=tuple(poison[:POISON]),
        origin=origin,
    )
