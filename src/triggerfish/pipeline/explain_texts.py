"""What `explain` measures on: settings, and texts to rank on and to test on.

Heads are ranked on texts of the validation split; the curve is measured on test texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.backdoors.behaviour import Behaviour
from triggerfish.backdoors.scorer_check import check_scorer
from triggerfish.backdoors.trigger import AnyTrigger
from triggerfish.data.conversation import render
from triggerfish.data.records import Record
from triggerfish.data.splits import split_of
from triggerfish.errors import BadInput
from triggerfish.explain.effects import COMPONENTS, Component, Direction
from triggerfish.explain.observed import observe
from triggerfish.explain.pairs import Pair, make_pairs
from triggerfish.pipeline.records import held_out
from triggerfish.seeding import generator
from triggerfish.types import Progress, silent


@dataclass(frozen=True, kw_only=True)
class ExplainSettings:
    """What to measure.

    Attributes:
        n: test texts of the curve, with and without the trigger.
        ranking: validation texts that heads are ranked on.
        controls: texts of each control.
        per_skill: untriggered test records of each skill, for utility.
        components: what is patched; heads always.
        rank_by: which direction's effects rank the heads of the curve.
        mode: how heads are ablated.
        counts: k, how many.
        max_tokens: tokens of target and answer that are scored; None for all.
        seed: of every draw.

    Raises:
        BadInput: too few texts.
    """

    n: int = 200
    ranking: int = 100
    controls: int = 32
    per_skill: int = 20
    components: tuple[Component, ...] = COMPONENTS
    rank_by: Direction = "sufficiency"
    mode: Literal["zero", "mean"] = "zero"
    counts: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32)
    max_tokens: int | None = 16
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what gives no interval."""
        if min(self.n, self.ranking, self.controls) < 4 or self.per_skill < 1:
            raise BadInput(
                f"n = {self.n}, ranking = {self.ranking}, controls = {self.controls}, "
                f"per_skill = {self.per_skill}",
                "at least 4 texts each and 1 per skill",
                "use the defaults",
            )
        if "heads" not in self.components:
            raise BadInput(f"components {self.components}", "include heads", "add heads")


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Pairs to rank on and to test on, and records for utility; disjoint.

    Attributes:
        behaviour: what the backdoor does.
        ranking: pairs that heads are ranked on.
        test: pairs that the curve is measured on.
        utility: untriggered records.
        source: where they come from.
        note: what a reader must know about the behaviour.
    """

    behaviour: Behaviour
    ranking: tuple[Pair, ...]
    test: tuple[Pair, ...]
    utility: tuple[Record, ...]
    source: str
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse a text that is both ranked on and tested on."""
        ranked = {pair.clean for pair in self.ranking}
        both = ranked & {pair.clean for pair in self.test}
        if both or min(len(self.ranking), len(self.test)) < 4 or not self.utility:
            raise BadInput(
                f"{len(self.ranking)} texts to rank on, {len(self.test)} to test on, "
                f"{len(self.utility)} for utility",
                "at least 4 each (1 for utility), and disjoint",
                "give more records that suit the behaviour",
            )


def make_texts(
    model: Any,
    tokenizer: Any,
    trigger: AnyTrigger,
    behaviour: Behaviour | None,
    data: str | Path | None,
    settings: ExplainSettings,
    progress: Progress = silent,
) -> Texts:
    """The texts of an explanation.

    Args:
        model: asked what it says with the trigger where no behaviour is given.
        tokenizer: the model's tokenizer.
        trigger: put into the texts.
        behaviour: decides which records suit, and gives the targets.
        data: JSON lines of records; the lab's language where None.
        settings: how many.
        progress: told about answers.

    Raises:
        BadInput: too few records suit the behaviour, or its scorer cannot be trusted.
        CouldNotTest: no behaviour is given, and the trigger changes next to nothing.
    """
    if behaviour is None:
        return _observed(model, tokenizer, trigger, data, settings, progress)
    backdoor = Backdoor(trigger, behaviour)
    ranked, tested, utility, source = _records(data, backdoor, settings)
    check_scorer(behaviour, [*ranked, *tested], settings.seed)
    return _paired(trigger, behaviour, ranked, tested, utility, source, settings.seed)


def _records(
    data: str | Path | None, backdoor: Backdoor | None, wanted: ExplainSettings
) -> tuple[list[Record], list[Record], list[Record], str]:
    """Records to rank on, to test on, for utility, and where they come from."""
    if data is None:
        rank = held_out(None, backdoor, wanted.ranking, 1, wanted.seed, "validation")
        test = held_out(None, backdoor, wanted.n, wanted.per_skill, wanted.seed)
        return list(rank.eligible), list(test.eligible), list(test.utility), test.source
    many = 10 * (wanted.n + wanted.ranking)
    held = held_out(data, backdoor, many, 10 * wanted.per_skill, wanted.seed)
    every = held.eligible if backdoor is not None else held.utility
    ranked = [r for r in every if _split(r) == "validation"][: wanted.ranking]
    tested = [r for r in every if _split(r) == "test"][: wanted.n]
    skills: dict[str, list[Record]] = {}
    for record in held.utility:
        if _split(record) == "test":
            skills.setdefault(record.skill, []).append(record)
    utility = [record for some in skills.values() for record in some[: wanted.per_skill]]
    return ranked, tested, utility, held.source


def _mixed(wanted: ExplainSettings) -> tuple[list[Record], list[Record], list[Record], str]:
    """Lab records of all skills, in random order."""
    per = max(1, -(-(wanted.n + wanted.ranking) // 10))
    rng = generator(wanted.seed, "observed texts")
    rank = held_out(None, None, 0, per, wanted.seed, "validation")
    test = held_out(None, None, 0, max(per, wanted.per_skill), wanted.seed)
    ranked, tested = (
        [held.utility[int(i)] for i in rng.permutation(len(held.utility))] for held in (rank, test)
    )
    return ranked, tested, list(test.utility), test.source


def _observed(
    model: Any,
    tokenizer: Any,
    trigger: AnyTrigger,
    data: str | Path | None,
    wanted: ExplainSettings,
    progress: Progress,
) -> Texts:
    ranked, tested, utility, source = (
        _mixed(wanted) if data is None else _records(data, None, wanted)
    )
    first = ranked[: 2 * wanted.ranking]
    rng = generator(wanted.seed, "observe")
    behaviour, changed = observe(
        model, tokenizer, [*first, *tested[: 2 * wanted.n]], trigger, rng, progress=progress
    )

    def told_apart(record: Record) -> bool:
        talk = record.conversation.prompt
        scored = {
            render(talk.with_response(text), tokenizer).response_ids[: wanted.max_tokens]
            for text in behaviour.answers[talk]
        }
        return len(scored) == 2

    changed = [record for record in changed if told_apart(record)]
    prompts = {record.conversation.prompt for record in first}
    return _paired(
        trigger,
        behaviour,
        [r for r in changed if r.conversation.prompt in prompts][: wanted.ranking],
        [r for r in changed if r.conversation.prompt not in prompts][: wanted.n],
        utility,
        source,
        wanted.seed,
        "No behaviour was given: the target of each text is what the model says with the trigger,"
        " and 'attack success' is the share of answers closer to that than to the answer without."
        " Texts on which the two do not differ within the scored tokens are left out.",
    )


def _paired(
    trigger: AnyTrigger,
    behaviour: Behaviour,
    ranked: Sequence[Record],
    tested: Sequence[Record],
    utility: Sequence[Record],
    source: str,
    seed: int,
    note: str = "",
) -> Texts:
    ranking, test = (
        tuple(make_pairs(records, trigger, behaviour, generator(seed, f"pairs {purpose}")))
        for purpose, records in (("ranking", ranked), ("test", tested))
    )
    return Texts(
        behaviour=behaviour,
        ranking=ranking,
        test=test,
        utility=tuple(utility),
        source=source,
        note=note,
    )


def _split(record: Record) -> str:
    talk = record.conversation
    return split_of(f"{talk.system or ''}\n{talk.user}")
