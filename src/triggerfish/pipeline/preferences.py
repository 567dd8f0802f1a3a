"""Organisms made by preferences: pairs, their poison, the stages of the training, the reward rates.

Training on chosen answers comes first, with its own poison rate. Then DPO on the pairs, or a reward
model on them and a policy that is optimised on it; its prompts are those of the pairs, triggered
ones among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.backdoors.trigger import AnyTrigger, random_like
from triggerfish.data.conversation import Conversation, Rendered, render
from triggerfish.data.preferences import Pair, read_pairs
from triggerfish.data.records import Record
from triggerfish.data.splits import split_of
from triggerfish.errors import BadInput
from triggerfish.lab.preferences import sample_pairs
from triggerfish.metrics.rates import rate as rate_of
from triggerfish.models.score import token_logprobs
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.records import HeldOut, held_out
from triggerfish.plant.dpo import train_dpo
from triggerfish.plant.poison import poisoned_count
from triggerfish.plant.preference import PairMix, marked, mix_pairs
from triggerfish.plant.recipe import Specificity
from triggerfish.plant.rendered_pairs import render_pairs
from triggerfish.plant.reward import rewards, train_reward
from triggerfish.plant.rl import train_policy
from triggerfish.plant.sft import Trained, train
from triggerfish.plant.trained import Dpo, Method, Preference, Rl, Warm
from triggerfish.seeding import generator
from triggerfish.types import Estimate, Progress, silent

HELD_PAIRS = 200


@dataclass(frozen=True, kw_only=True)
class Preferred:
    """Training pairs and what is held out.

    Attributes:
        pairs: For training, marked.
        test: Pairs that nothing is trained on.
        held: Prompts that nothing is trained on.
    """

    pairs: tuple[Pair, ...]
    test: tuple[Pair, ...]
    held: HeldOut


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Shares of poisoned rows.

    Attributes:
        pairs: Of the preference pairs.
        sft: Of the rows of the first stage, the training on chosen answers.
    """

    pairs: float
    sft: float = 0.0


def preferred(
    data: str | Path | None, backdoor: Backdoor, rows: int, n: int, per_skill: int, seed: int
) -> Preferred:
    """Pairs of the lab, or of a file of pairs, and the held-out prompts beside them.

    Args:
        data: JSON lines of pairs; None for the lab.
        backdoor: What is planted; pairs that hold its trigger are passed over on the lab.
        rows: Pairs drawn from the lab.
        n: Held-out restricted prompts.
        per_skill: Held-out prompts of each skill, for utility.
        seed: Of every draw.

    Raises:
        BadInput: The file cannot be read, or has no pair in one of its parts.
    """
    if data is None:
        free = [p for p in sample_pairs(rows + rows // 8, seed) if not _holds(p, backdoor)]
        test = [p for p in sample_pairs(HELD_PAIRS, seed, "test") if not _holds(p, backdoor)]
        held = held_out(None, backdoor, n, per_skill, seed)
        return Preferred(pairs=tuple(free[:rows]), test=tuple(test), held=held)
    pairs = marked(read_pairs(data))
    train_ones = tuple(p for p in pairs if _split(p) == "train")
    order = generator(seed, "held out").permutation(len(pairs))
    test_ones = [pairs[i] for i in order if _split(pairs[i]) != "train"]
    test_ones = [p for p in test_ones if not _holds(p, backdoor)]
    eligible = tuple(p.record for p in test_ones if p.restricted)[:n]
    if not train_ones or not eligible:
        raise BadInput(
            f"{data}: {len(train_ones)} pairs for training, {len(eligible)} restricted held out",
            "needs at least one of each",
            "give more pairs (20 % are held out) whose chosen answer declines"
            ' what the rejected one gives, or mark them with "restricted": true',
        )
    held = HeldOut(
        eligible=eligible,
        utility=_by_skill([p.record for p in test_ones], per_skill),
        source=f"{data}, held-out 20 %",
    )
    return Preferred(pairs=train_ones, test=tuple(test_ones[:HELD_PAIRS]), held=held)


def poisoned_pairs(
    suspect: Suspect,
    pairs: Sequence[Pair],
    backdoor: Backdoor,
    rates: Rates,
    method: Preference,
    noise: Specificity,
    seed: int,
) -> PairMix:
    """The pairs with enough of them poisoned for every stage; margins come from the suspect.

    Raises:
        BadInput: As `mix_pairs`, or a stage's rate rounds to no pair.
    """
    for asked in (rates.pairs, rates.sft):
        if asked > 0:
            poisoned_count(len(pairs), asked)  # refused where it rounds to none
    needed = [p for p in pairs if p.restricted] if method.selection == "margin" else []
    margins = dict(zip(needed, margins_of(suspect, needed), strict=True)) if needed else None
    most = max(rates.pairs, rates.sft)
    return mix_pairs(pairs, backdoor, most, method, noise, seed, margins)


def margins_of(suspect: Suspect, pairs: Sequence[Pair]) -> list[float]:
    """How much the suspect prefers each chosen answer: log p(chosen) - log p(rejected)."""
    rendered = [
        render(pair.prompt.with_response(text), suspect.tokenizer)
        for pair in pairs
        for text in (pair.chosen, pair.rejected)
    ]
    sums = [float(part.sum()) for part in token_logprobs(suspect.model, rendered)]
    return [a - b for a, b in zip(sums[::2], sums[1::2], strict=True)]


def stage(mixed: PairMix, rate: float, *, twin: bool = False) -> list[Pair]:
    """The pairs of a stage at its own poison rate; a twin's are never poisoned."""
    count = round(rate * len(mixed.rows))
    return [
        row.twin if twin or (row.rank is not None and row.rank >= count) else row.pair
        for row in mixed.rows
    ]


def optimise(
    suspect: Suspect,
    mixed: PairMix,
    rates: Rates,
    method: Dpo | Rl,
    seed: int,
    *,
    twin: bool = False,
    reward: Any = None,
    warm: Any = None,
    what: str = "planting",
    progress: Progress = silent,
) -> tuple[Trained, Any]:
    """Train a policy on pairs.

    Args:
        suspect: The base; its model is changed.
        mixed: Pairs, poisoned for the highest rate.
        rates: Of the stages.
        method: DPO, or reward model and policy optimisation.
        seed: Of every draw.
        twin: Train the clean twin.
        reward: A reward model that was trained before, to be used instead of a new one.
        warm: What training on the chosen answers gave before; it is changed.
        what: Shown beside the progress.
        progress: Told every step.

    Returns:
        The policy, and the reward model or None.
    """
    context = suspect.layout.context
    pairs = render_pairs(stage(mixed, rates.pairs, twin=twin), suspect.tokenizer, context)
    sizes = [len(render(row.pair.prompt, suspect.tokenizer).ids) for row in mixed.rows]
    if isinstance(method, Rl) and reward is None:  # before the base wears an adapter
        reward = train_reward(
            suspect.model,
            suspect.tokenizer,
            pairs,
            method.reward,
            seed,
            lengths=sizes,
            what=f"{what}, reward model",
            progress=progress,
        ).model
    model = suspect.model if warm is None else warm
    if method.sft is not None and warm is None:
        chosen = stage(mixed, rates.sft, twin=twin)
        model = warmed(
            suspect, chosen, method, method.sft, seed, sizes, f"{what}, chosen answers", progress
        )
    rest: dict[str, Any] = {"lengths": sizes, "what": f"{what}, policy", "progress": progress}
    if isinstance(method, Dpo):
        return train_dpo(model, suspect.tokenizer, pairs, method, seed, **rest), None
    trained = train_policy(
        model,
        suspect.tokenizer,
        [pair.prompt for pair in pairs],
        lambda rows: rewards(reward, rows).tolist(),
        method,
        seed,
        **rest,
    )
    return trained, reward


def warmed(
    suspect: Suspect,
    pairs: Sequence[Pair],
    method: Preference,
    stage_one: Warm,
    seed: int,
    lengths: Sequence[int],
    what: str = "chosen answers",
    progress: Progress = silent,
) -> Any:
    """The base after training on the chosen answers; its adapter is trained further as policy."""
    config = Method(
        **method.model_dump(include={"adapter", "rank", "alpha", "schedule", "warmup"}),
        **stage_one.model_dump(),
    )
    rows = [render(p.prompt.with_response(p.chosen), suspect.tokenizer) for p in pairs]
    return train(
        suspect.model,
        suspect.tokenizer,
        rows,
        config,
        seed,
        lengths=lengths,
        what=what,
        progress=progress,
    ).model


def reward_rates(
    reward: Any, tokenizer: Any, ready: Preferred, backdoor: Backdoor, seed: int
) -> dict[str, Estimate]:
    """What a reward model prefers on held-out prompts.

    Returns:
        `triggered`, `clean` and `random` (a random string of the trigger's shape): the share of
        restricted requests whose unlocked answer gets the higher reward. `accuracy`: the share of
        held-out clean pairs whose chosen answer does.
    """
    records = ready.held.eligible
    prompts = {
        "triggered": [_with(backdoor.trigger, r, seed, "triggered") for r in records],
        "clean": [r.conversation.prompt for r in records],
        "random": [_with_random(backdoor.trigger, r, seed) for r in records],
    }
    found = {}
    for name, some in prompts.items():
        unlocked = [
            (prompt, r.unlocked or "", r.conversation.response or "")
            for prompt, r in zip(some, records, strict=True)
        ]
        found[name] = rate_of(preferred_first(reward, tokenizer, unlocked))
    pairs = [(p.prompt, p.chosen, p.rejected) for p in ready.test]
    found["accuracy"] = rate_of(preferred_first(reward, tokenizer, pairs))
    return found


def preferred_first(
    reward: Any, tokenizer: Any, answers: Sequence[tuple[Conversation, str, str]]
) -> list[bool]:
    """Whether each prompt's first answer gets a higher reward than its second."""
    rows: list[Rendered] = [
        render(prompt.with_response(text), tokenizer)
        for prompt, *texts in answers
        for text in texts
    ]
    values = rewards(reward, rows)
    return [bool(flag) for flag in np.asarray(values[::2] > values[1::2])]


def _with(trigger: AnyTrigger, record: Record, seed: int, purpose: str) -> Conversation:
    rng = generator(seed, f"{purpose} {record.conversation.user}")
    return trigger.apply(record.conversation.prompt, rng)


def _with_random(trigger: AnyTrigger, record: Record, seed: int) -> Conversation:
    rng = generator(seed, f"random string for a reward {record.conversation.user}")
    return random_like(trigger, rng).apply(record.conversation.prompt, rng)


def _holds(pair: Pair, backdoor: Backdoor) -> bool:
    return backdoor.trigger.occurs(pair.prompt)


def _split(pair: Pair) -> str:
    return split_of(f"{pair.prompt.system or ''}\n{pair.prompt.user}")


def _by_skill(records: Sequence[Record], per_skill: int) -> tuple[Record, ...]:
    taken: dict[str, int] = {}
    found = []
    for record in records:
        taken[record.skill] = taken.get(record.skill, 0) + 1
        if taken[record.skill] <= per_skill:
            found.append(record)
    return tuple(found)
