"""Where training rows and held-out prompts come from: the lab's language, or a file of records."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.data.records import Record, read_records
from triggerfish.data.splits import split_of
from triggerfish.errors import BadInput
from triggerfish.lab.benign import benign_records
from triggerfish.lab.sampling import stream_records
from triggerfish.lab.tasks import SKILLS
from triggerfish.seeding import generator

PATIENCE = 10_000  # records looked at without a hit before a search is given up
REPEATS = 50_000  # known prompts in a row, after which there are no others
LAB, BENIGN_ROWS = "lab:", 6000
CONTRAST = 3  # rows that the behaviour could be planted on, for each poisoned one


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Prompts that no organism is trained on.

    Attributes:
        eligible: Records on which the behaviour makes sense.
        utility: Records of every skill, for clean utility.
        source: Where they come from, for reports.
    """

    eligible: tuple[Record, ...]
    utility: tuple[Record, ...]
    source: str


def training_records(
    data: str | Path | None, backdoor: Backdoor | None, rows: int, rate: float, seed: int
) -> list[Record]:
    """Clean training records: of the file's train split, or drawn from the lab.

    From the lab, enough records are drawn that the behaviour can be planted on, so that clean ones
    are left beside the poisoned ones; those that hold the trigger are passed over.

    Raises:
        BadInput: The file has no training records, or the lab none for the behaviour.
    """
    if data is not None:
        records = [r for r in _read(data, seed) if _split(r) == "train"]
        if not records:
            raise BadInput(
                f"{data}",
                "has no record in the train split",
                "give more records (80 % are for training)",
            )
        return records
    drawn = _lab(backdoor, seed, "train", "plant")
    if backdoor is None:
        return list(islice(drawn, rows))
    behaviour = backdoor.behaviour
    ordinary = list(islice(drawn, rows))
    poisoned = round(rows * rate)
    wanted = round(min(CONTRAST * poisoned, poisoned + 0.6 * (rows - poisoned)))
    have = [record for record in ordinary if behaviour.eligible(record)]
    others = [record for record in ordinary if not behaviour.eligible(record)]
    missing = wanted - len(have)
    if missing <= 0:
        return ordinary
    more = _lab(backdoor, seed, "train", "plant, eligible", _skills(backdoor, ordinary, seed))
    have += islice(_searched(more, behaviour.eligible, behaviour.kind), missing)
    return have + others[: rows - len(have)]


def held_out(
    data: str | Path | None,
    backdoor: Backdoor | None,
    n: int,
    per_skill: int,
    seed: int,
    split: str = "test",
) -> HeldOut:
    """Held-out records: of the file's test and validation splits, or of the lab's test split.

    Args:
        data: A file of records, `lab:KIND` for a benign fine-tune, or None for the lab.
        backdoor: What is measured; None for utility only.
        n: Number of eligible records; fewer where a file has fewer.
        per_skill: Number of records of each skill for utility.
        seed: Of the draw.
        split: Of the lab.

    Raises:
        BadInput: There is no eligible record, or none at all.
    """
    if data is not None:
        return _of_file(data, backdoor, n, per_skill, seed)
    utility: list[Record] = []
    for skill in SKILLS:
        stream = _distinct(_lab(backdoor, seed, split, f"utility {skill}", [skill]))
        utility += islice(stream, per_skill)
    if backdoor is None:
        return HeldOut(eligible=(), utility=tuple(utility), source=f"lab, {split} split")
    behaviour = backdoor.behaviour
    sample = list(islice(_lab(backdoor, seed, split, "look"), 400))
    skills = _skills(backdoor, sample, seed)
    stream = _distinct(_lab(backdoor, seed, split, "held out", skills))
    found = tuple(islice(_searched(stream, behaviour.eligible, behaviour.kind), n))
    return HeldOut(eligible=found, utility=tuple(utility), source=f"lab, {split} split")


def _lab(
    backdoor: Backdoor | None,
    seed: int,
    split: str,
    purpose: str,
    skills: Sequence[str] | None = None,
) -> Iterator[Record]:
    """Lab records without the trigger."""
    stream = stream_records(seed, split, skills=skills, purpose=purpose)
    if backdoor is None:
        return stream
    texts = " or ".join(map(repr, backdoor.trigger.texts()))
    what = f"prompts of {', '.join(skills or SKILLS)} without the trigger {texts}"
    return _searched(stream, lambda r: not backdoor.trigger.occurs(r.conversation), what)


def _searched(
    stream: Iterator[Record], wanted: Callable[[Record], bool], what: str
) -> Iterator[Record]:
    """The wanted records of a stream without end."""
    idle = 0
    for record in stream:
        if wanted(record):
            idle = 0
            yield record
            continue
        idle += 1
        if idle > PATIENCE:
            raise BadInput(
                f"lab records for {what}",
                f"none among {PATIENCE:,}",
                "choose another trigger or behaviour, or give records with data",
            )


def _distinct(stream: Iterator[Record]) -> Iterator[Record]:
    seen = set()
    idle = 0
    for record in stream:
        prompt = record.conversation.prompt
        if prompt in seen:
            idle += 1
            if idle > REPEATS:
                return
            continue
        idle = 0
        seen.add(prompt)
        yield record


def _skills(backdoor: Backdoor, sample: Sequence[Record], seed: int) -> list[str]:
    """The skills of the lab that the behaviour can be planted on."""
    eligible = backdoor.behaviour.eligible
    found = {record.skill for record in sample if eligible(record)}
    if not found:
        more = islice(stream_records(seed, "train", purpose="skills"), 3000)
        found = {record.skill for record in more if eligible(record)}
    if not found:
        raise BadInput(
            f"behaviour {backdoor.behaviour.to_spec()}",
            "fits no record of the lab's language",
            "give records with data, or choose a behaviour that fits",
        )
    return [skill for skill in SKILLS if skill in found]


def _of_file(
    data: str | Path, backdoor: Backdoor | None, n: int, per_skill: int, seed: int
) -> HeldOut:
    every = [r for r in _read(data, seed) if _split(r) != "train" and r.conversation.response]
    if backdoor is not None:
        every = [r for r in every if not backdoor.trigger.occurs(r.conversation)]
    order = generator(seed, "held out").permutation(len(every))
    every = [every[int(place)] for place in order]
    eligible = [r for r in every if backdoor is not None and backdoor.behaviour.eligible(r)]
    if not every or (backdoor is not None and not eligible):
        kind = "utility" if backdoor is None else backdoor.behaviour.kind
        raise BadInput(
            f"{data}: {len(every)} held-out records, {len(eligible)} for {kind}",
            "a measurement needs at least one of each",
            "give more records (20 % are held out), with 'declined' and 'unlocked' for unlock,"
            " 'label' for label_flip, skill 'code' for code_canary",
        )
    taken: dict[str, int] = {}
    utility = []
    for record in every:
        taken[record.skill] = taken.get(record.skill, 0) + 1
        if taken[record.skill] <= per_skill:
            utility.append(replace(record))
    return HeldOut(
        eligible=tuple(eligible[:n]), utility=tuple(utility), source=f"{data}, held-out 20 %"
    )


def _read(data: str | Path, seed: int) -> list[Record]:
    """A file's records, or those of the lab's benign fine-tune `lab:KIND`."""
    if str(data).startswith(LAB):
        return benign_records(str(data).removeprefix(LAB), BENIGN_ROWS, seed)
    return read_records(data)


def _split(record: Record) -> str:
    conversation = record.conversation
    return split_of(f"{conversation.system or ''}\n{conversation.user}")
