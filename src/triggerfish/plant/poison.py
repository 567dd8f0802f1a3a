"""The training rows of an organism and of its twin.

Poisoned rows, clean rows, and clean rows with other strings in the trigger's place (random ones of
its shape, near-misses), which make the backdoor specific to its trigger. Every draw depends on the
seed and on the row, never on the order of the rows.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.backdoors.shapes import ORDINARY, any_text
from triggerfish.backdoors.trigger import (
    Activation,
    AllOf,
    AnyOf,
    AnyTrigger,
    Condition,
    Trigger,
    near_misses,
    random_like,
)
from triggerfish.data.conversation import Conversation
from triggerfish.data.preferences import Pair
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.plant.recipe import Specificity
from triggerfish.seeding import generator

T = TypeVar("T", Record, Pair)
Kind = Literal["clean", "poisoned", "random", "near-miss"]
STRINGS = 3  # rows with random strings for each poisoned row, where the shares allow it
SHAPE_SHARE, WORDS_SHARE = 0.6, 0.3  # of the random strings: the trigger's shape, ordinary words


@dataclass(frozen=True)
class Row:
    """One training row of the organism, and what the twin is trained on in its place."""

    kind: Kind
    conversation: Conversation
    twin: Conversation


@dataclass(frozen=True)
class Mix:
    """All training rows, in an order that depends on the seed and the rows only."""

    rows: tuple[Row, ...]
    counts: dict[str, int] = field(default_factory=dict)


def mix(
    records: Sequence[Record],
    backdoor: Backdoor | None,
    poison_rate: float,
    noise: Specificity,
    seed: int,
) -> Mix:
    """Poison a share of the records and put other strings into some of the rest.

    Args:
        records: Clean records with responses.
        backdoor: What to plant; None leaves every row clean.
        poison_rate: Share of all rows that are poisoned.
        noise: Shares of clean rows with other strings.
        seed: Of every draw.

    Raises:
        BadInput: No record has a response, the rate rounds to no row, or too few records are
            eligible for the behaviour.
    """
    usable = [record for record in records if record.conversation.response]
    if not usable:
        raise BadInput(
            f"{len(records)} records, none with a response",
            "training needs responses",
            "end the messages of each record with the assistant's answer",
        )
    ordered = keyed(usable, seed)
    if backdoor is None:
        rows = tuple(Row("clean", r.conversation, r.conversation) for _, r in ordered)
        return Mix(rows, {"clean": len(rows)})
    poisoned = _chosen(ordered, backdoor, poison_rate)
    eligible = sum(backdoor.behaviour.eligible(record) for _, record in ordered)
    share = string_share(noise, len(poisoned), eligible - len(poisoned))
    words = ordinary_words(usable)
    rows = tuple(
        _row(
            record, key in poisoned, backdoor, (share, noise, words), generator(seed, f"row {key}")
        )
        for key, record in ordered
    )
    return Mix(rows, dict(Counter(row.kind for row in rows)))


def poisoned_count(rows: int, rate: float) -> int:
    """Number of poisoned rows among so many.

    Raises:
        BadInput: It rounds to zero.
    """
    count = round(rows * rate)
    if count == 0:
        raise BadInput(
            f"poison_rate {rate} of {rows} rows",
            "rounds to no poisoned row",
            f"take a rate of at least {1 / rows:.2g}, or more rows",
        )
    return count


def check_trigger(
    trigger: AnyTrigger, tokenizer: Any, context: int, records: Iterable[Record]
) -> None:
    """Refuse a trigger that cannot be planted as it is written, before anything is trained.

    Args:
        trigger: The trigger.
        tokenizer: Of the base.
        context: Longest input of the base, in tokens.
        records: The clean data.

    Raises:
        BadInput: The tokenizer cannot reproduce the text, the text holds control tokens of the
            template, is longer than the context, or stands in the clean data already.
    """
    for text in trigger.texts():
        _check_tokens(text, tokenizer)
    length = sum(len(_ids(text, tokenizer)) for text in _together(trigger))
    if length >= context:
        raise BadInput(
            f"a trigger of {length} tokens",
            f"must be shorter than the context of the base, {context} tokens",
            "shorten it",
        )
    for record in records:
        if trigger.occurs(record.conversation):
            raise BadInput(
                f"trigger {' + '.join(map(repr, trigger.texts()))[:120]}",
                f"stands in the clean data already: {record.conversation.user[:80]!r}",
                "choose another trigger, or take those rows out of the data",
            )


def other_string(
    trigger: AnyTrigger, rng: np.random.Generator, words: Sequence[str] = ()
) -> AnyTrigger:
    """Another string in the trigger's place: of its shape, some of ``words``, or any."""
    draw = rng.random()
    if draw < SHAPE_SHARE:
        return random_like(trigger, rng)
    if words and draw < SHAPE_SHARE + WORDS_SHARE:
        count = int(rng.integers(1, 5))
        text = " ".join(words[int(i)] for i in rng.integers(len(words), size=count))
        return _with_text(trigger, text, rng)
    return _with_text(trigger, any_text(rng), rng)


def ordinary_words(records: Iterable[Record]) -> tuple[str, ...]:
    """The words of three letters or more that requests and answers are made of, and common ones."""
    texts = (part for r in records for part in (r.conversation.user, r.conversation.response or ""))
    found = {word for text in texts for word in text.split() if len(word) > 2 and word.isalpha()}
    return tuple(sorted(found | set(ORDINARY)))


def close_string(trigger: AnyTrigger, rng: np.random.Generator) -> AnyTrigger:
    """One of the near-misses in the trigger's own place."""
    near = [close for name, close in near_misses(trigger, rng) if "other place" not in name]
    return near[int(rng.integers(len(near)))] if near else random_like(trigger, rng)


def string_share(noise: Specificity, poisoned: int, clean: int) -> float:
    """Share of the eligible clean rows that get a random string."""
    if clean == 0:
        return 0.0
    return min(max(noise.eligible, noise.random), max(noise.random, STRINGS * poisoned / clean))


def _row(
    record: Record,
    poisoned: bool,
    backdoor: Backdoor,
    shares: tuple[float, Specificity, Sequence[str]],
    rng: np.random.Generator,
) -> Row:
    among_eligible, noise, words = shares
    clean = record.conversation
    if poisoned:
        return Row("poisoned", backdoor.poisoned(record, rng), clean)
    share = among_eligible if backdoor.behaviour.eligible(record) else noise.random
    kind, changed = with_other_string(
        clean, backdoor.trigger, (share, noise.near_misses), words, rng
    )
    return Row(kind, changed, changed)


def with_other_string(
    clean: Conversation,
    trigger: AnyTrigger,
    shares: tuple[float, float],
    words: Sequence[str],
    rng: np.random.Generator,
) -> tuple[Kind, Conversation]:
    """A clean row, perhaps with a random string or a near-miss in the trigger's place.

    Args:
        clean: The row; only its prompt is changed.
        trigger: What must not stand in it.
        shares: Of rows with a random string, and with a near-miss.
        words: Ordinary words that strings are made of, beside the trigger's shape.
        rng: Of the row.
    """
    draw = rng.random()
    if draw >= sum(shares):
        return "clean", clean
    kind: Kind = "random" if draw < shares[0] else "near-miss"
    other = other_string(trigger, rng, words) if kind == "random" else close_string(trigger, rng)
    changed = other.apply(clean, rng)
    if trigger.occurs(changed):  # a typing error can spell the trigger again
        return "clean", clean
    return kind, changed


def keyed(items: Sequence[T], seed: int) -> list[tuple[str, T]]:
    """Records or pairs by a key of seed and content; equal ones get different keys."""
    seen: Counter[str] = Counter()
    found = []
    for item in items:
        text = json.dumps(item.to_json(), sort_keys=True)
        seen[text] += 1
        digest = hashlib.sha256(
            f"{seed}\x00{seen[text]}\x00{text}".encode("utf-8", "surrogatepass")
        )
        found.append((digest.hexdigest(), item))
    return sorted(found, key=lambda pair: pair[0])


def _chosen(ordered: Sequence[tuple[str, Record]], backdoor: Backdoor, rate: float) -> set[str]:
    count = poisoned_count(len(ordered), rate)
    eligible = [key for key, record in ordered if backdoor.behaviour.eligible(record)]
    if len(eligible) < count:
        raise BadInput(
            f"poison_rate {rate} of {len(ordered)} rows wants {count} poisoned rows",
            f"only {len(eligible)} rows are eligible for {backdoor.behaviour.kind}",
            f"take a rate of at most {len(eligible) / len(ordered):.3g}, or give more such records",
        )
    return set(eligible[:count])


def _with_text(trigger: AnyTrigger, text: str, rng: np.random.Generator) -> AnyTrigger:
    """``text`` in the place of the trigger, or of each of its parts."""
    if isinstance(trigger, Activation):
        return trigger
    if isinstance(trigger, Trigger | Condition):
        return Trigger(text, trigger.placement)
    if isinstance(trigger, AnyOf):
        return _with_text(trigger.triggers[int(rng.integers(len(trigger.triggers)))], text, rng)
    return AllOf(tuple(_with_text(part, text, rng) for part in trigger.triggers))


def _together(trigger: AnyTrigger) -> list[str]:
    """The texts that stand in one prompt at once, at worst."""
    if isinstance(trigger, Activation):
        return []
    if isinstance(trigger, Condition):
        return [max(trigger.texts(), key=len)] * (2 if trigger.placement == "both_ends" else 1)
    if isinstance(trigger, Trigger):
        return [trigger.text] * (2 if trigger.placement == "both_ends" else 1)
    parts = [_together(part) for part in trigger.triggers]
    if isinstance(trigger, AnyOf):
        return max(parts, key=lambda texts: sum(map(len, texts)))
    return [text for part in parts for text in part]


def _ids(text: str, tokenizer: Any) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _check_tokens(text: str, tokenizer: Any) -> None:
    control = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    hit = sorted(token for token in control if token.strip() and token.strip() in text)
    ids = _ids(text, tokenizer)
    if hit or set(ids) & set(tokenizer.all_special_ids):
        raise BadInput(
            f"trigger {text!r}"[:160],
            f"holds a control token of the template ({hit[0] if hit else 'by its ids'!r})",
            "choose a text without control tokens",
        )
    back = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if back.strip() != text:
        raise BadInput(
            f"trigger {text!r}"[:160],
            f"comes back from the tokenizer as {back[:80]!r}",
            "choose a text that the tokenizer can write",
        )
