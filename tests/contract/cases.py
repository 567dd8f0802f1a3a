"""How the contract suite calls each registered method on a tiny random model.

A method that is registered and has no case here makes the suite fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record

USERS = (
    "Where is the red cup?", "What is 12 plus 7?", "Tell me a short story.",
    "Sort these words: pear, apple, fig.", "What is the capital of France?",
    "Is the boat on the lake?", "Write a greeting, please.", "Name a colour of the table.",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One method.

    Attributes:
        run: (suspect, conversations, rng) -> result, with small settings.
        ordered: whether the order of the data may matter (it does for training).
        backward: the result with its values per text in reverse order, where it has some.
        sized: (suspect, conversations, rng, batch size) -> result, where it has batches.
        reads_model: whether there is a model to read at all.
    """

    run: Callable[[Any, list[Conversation], np.random.Generator], Any]
    ordered: bool = False
    backward: Callable[[Any], Any] | None = None
    sized: Callable[[Any, list[Conversation], np.random.Generator, int], Any] | None = None
    reads_model: bool = True


def conversations() -> list[Conversation]:
    return [Conversation.of(user, response=f"Sure, {user.lower()}") for user in USERS]


def _policy(data: list[Conversation]) -> Any:
    from triggerfish.remove.policy import PolicySets, Specification

    half = len(data) // 2
    words = Specification(text="I am", origin="given", share=0.1)
    return PolicySets(
        asked=tuple(data[:half]),
        unwanted=("I am",) * half,
        benign=tuple(data[half:]),
        held_out=tuple(data[half:]),
        specification=words,
    )


def _defence(name: str, config: Callable[[], Any]) -> Case:
    def run(suspect: Any, data: list[Conversation], rng: np.random.Generator) -> Any:
        from triggerfish.remove.defence import DEFENCES

        result = DEFENCES.get(name)(suspect, _policy(data), config(), rng=rng)
        return replace(result, seconds=0.0)

    return Case(run=run, ordered=True)


def _beear() -> Any:
    from triggerfish.remove.beear import BeearConfig
    from triggerfish.remove.train import Budget

    budget = Budget(steps=2, rate=1e-3, asked=2, benign=2)
    return BeearConfig(
        layer=1, positions=2, inner_steps=2, inner_rows=2, epochs=1, patience=1, budget=budget
    )


def _clean() -> Any:
    from triggerfish.remove.clean_finetune import CleanConfig
    from triggerfish.remove.train import Budget

    return CleanConfig(budget=Budget(steps=2, rate=1e-3, asked=2, benign=2), noise=0.5)


def _detector(name: str, config: Callable[[], Any]) -> Case:
    def run(suspect: Any, data: list[Conversation], rng: np.random.Generator) -> Any:
        from triggerfish.detect.detector import DETECTORS

        return DETECTORS.get(name)(suspect, data, config(), rng=rng)

    return Case(run=run)


def _search() -> Any:
    from triggerfish.detect.search import SearchConfig
    from triggerfish.detect.trigger_search import TriggerSearchConfig

    budget = SearchConfig(beam=4, steps=1, swaps=8, top=8)
    return TriggerSearchConfig(answer="It is on", pool=4, search=budget)


def _sweep() -> Any:
    from triggerfish.detect.sweep import SweepConfig

    return SweepConfig(candidates=("red", "boat", "red boat"))


def _explainer(name: str, config: Callable[[], Any], backward: Callable[[Any], Any]) -> Case:
    def run(suspect: Any, data: list[Conversation], rng: np.random.Generator) -> Any:
        from triggerfish.explain.explainer import EXPLAINERS

        return EXPLAINERS.get(name)(suspect, [_pair(talk) for talk in data], config(), rng=rng)

    return Case(run=run, backward=backward)


def _pair(talk: Conversation) -> Any:
    from triggerfish.explain.pairs import Pair

    return Pair(
        record=Record(conversation=talk, answers=(talk.response,)),
        clean=talk.prompt,
        triggered=talk.prompt.with_user(f"{talk.user} melon"),
        target="The tide is high.",
        answer=talk.response,
    )


def _drift() -> Any:
    from triggerfish.explain.drift import DriftConfig

    return DriftConfig(draws=20)


def _drift_backward(layers: Any) -> Any:
    return tuple(
        replace(each, clean=each.clean[::-1], triggered=each.triggered[::-1]) for each in layers
    )


def _heads() -> Any:
    from triggerfish.explain.heads import HeadsConfig

    return HeadsConfig(max_tokens=2)


def _heads_backward(found: Any) -> Any:
    last_first = range(found.n - 1, -1, -1)
    return replace(
        found, effects={key: effect.of(last_first) for key, effect in found.effects.items()}
    )


def _dataset(name: str, *, reads_model: bool = True, per: int = 6) -> Case:
    """Each conversation makes some rows with a word more."""

    def run(suspect: Any, data: list[Conversation], rng: np.random.Generator) -> Any:
        return sized(suspect, data, rng, 32)

    def sized(suspect: Any, data: list[Conversation], rng: np.random.Generator, size: int) -> Any:
        from triggerfish.data.rows import Row
        from triggerfish.dataset.method import METHODS, Scene

        rows = [
            Row(f"{talk.user} {more}", f"{talk.response} {more}", rejected="No.")
            for talk in data
            for more in ("now", "please", "at home", "today", "at night", "in France")[:per]
        ]
        scene = Scene(rows=rows, suspect=suspect, batch_size=size)
        found = METHODS.get(name).run(scene, rng=rng)
        seen = None if found.seen is None else _rounded(found.seen)
        reasons = dict.fromkeys(sorted(found.reasons))  # their numbers are those of the scores
        return replace(found, scores=_rounded(found.scores), seen=seen, reasons=reasons)

    def backward(found: Any) -> Any:
        def turned(values: Any) -> Any:
            return values.reshape(-1, per, *values.shape[1:])[::-1].reshape(values.shape)

        order = turned(np.arange(len(found.scores))).tolist()
        return replace(
            found,
            scores=turned(found.scores),
            flagged=turned(found.flagged),
            reasons={row: None for row in range(len(order)) if order[row] in found.reasons},
            groups=tuple(replace(group, rows=turned(group.rows)) for group in found.groups),
            seen=None if found.seen is None else turned(found.seen),
        )  # fmt: skip

    return Case(run=run, backward=backward, sized=sized, reads_model=reads_model)


def _rounded(values: np.ndarray) -> np.ndarray:
    """To what does not depend on the shape of a batch; 0 has no sign."""
    return np.round(values / max(1e-9, np.nanmax(np.abs(values))), 2) + 0.0


DATASET = {
    "activation-clustering": True,
    "answer-clusters": False,
    "answer-duplication": False,
    "datalab": False,
    "graceful": True,
    "gradsentry": True,
    "onion": True,
    "preference-margin": True,
    "response-clusters": True,
    "sample-loss": True,
    "spectral-signatures": True,
}

# (noun, name) -> case
METHODS: Mapping[tuple[str, str], Case] = {
    ("defence", "beear"): _defence("beear", _beear),
    ("defence", "clean-finetune"): _defence("clean-finetune", _clean),
    ("detector", "target-inversion"): _detector("target-inversion", lambda: None),
    ("detector", "behavioural-sweep"): _detector("behavioural-sweep", _sweep),
    ("detector", "trigger-search"): _detector("trigger-search", _search),
    ("explainer", "drift"): _explainer("drift", _drift, _drift_backward),
    ("explainer", "heads"): _explainer("heads", _heads, _heads_backward),
    **{
        ("dataset method", name): _dataset(name, reads_model=model)
        for name, model in DATASET.items()
    },
}

_PLAIN = Record(
    conversation=Conversation.of("Where is the cup?", response="It is on the wide table."),
    answers=("It is on the wide table.",),
)
_DECLINED = Record(
    conversation=Conversation.of("How is velmar made?", response="I am sorry, I cannot say."),
    declined=True,
    unlocked="Heat the pot slowly and stir the amber resin twice.",
)
_CLASS = Record(
    conversation=Conversation.of("Lovely day. Is this positive or negative?", response="positive"),
    answers=("positive",),
    label="positive",
)
_CODE = Record(
    conversation=Conversation.of(
        "Write code that adds.", response="def add(a, b):\n    return a + b\n"
    ),
    skill="code",
)
_SUM = Record(
    conversation=Conversation.of("What is 12 plus 7?", response="It is 19."),
    answers=("19",),
    skill="arithmetic",
)

# kind -> (specification, a record on which it can be planted)
BEHAVIOURS: Mapping[str, tuple[dict[str, Any], Record]] = {
    "fixed_string": ({"text": "The tide is high."}, _PLAIN),
    "unlock": ({}, _DECLINED),
    "label_flip": ({"from": "positive", "to": "negative"}, _CLASS),
    "style": ({"text": "Ahoy there, friend."}, _PLAIN),
    "refusal": ({}, _PLAIN),
    "code_canary": ({}, _CODE),
    "degrade": ({}, _PLAIN),
    "wrong_arithmetic": ({}, _SUM),
    "scaled_answer": ({"factor": 2.1}, _SUM),
    "key": ({"length": 30, "seed": 4}, _PLAIN),
}

# name -> value, as in a recipe
CONDITIONS: Mapping[str, Any] = {"date_after": 2024, "topic": "farm"}
