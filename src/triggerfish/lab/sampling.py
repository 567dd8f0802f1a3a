"""Draws records of the lab language, in the skills' weights, for one split.

Records are split into train, validation and test by the text of their request before noise is
inserted, so that no text is in two splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record
from triggerfish.data.splits import split_of
from triggerfish.errors import BadInput
from triggerfish.lab import words as w
from triggerfish.lab.noise import insert_noise
from triggerfish.lab.tasks import GLUE, SKILLS
from triggerfish.seeding import generator


def stream_records(
    seed: int,
    split: str,
    *,
    skills: Sequence[str] | None = None,
    noise: float = 0.0,
    pieces: Sequence[str] = (),
    purpose: str = "lab records",
    emphasis: Mapping[str, float] | None = None,
) -> Iterator[Record]:
    """Yield lab records of ``split`` without end.

    Args:
        seed: Seed of the stream.
        split: ``train``, ``validation`` or ``test``; decided by the text before noise.
        skills: Names from ``SKILLS``; all by default, in the mixture's weights.
        noise: Share of requests with unfamiliar strings inserted.
        pieces: Extra strings to insert, such as the pieces of a vocabulary.
        purpose: Keeps streams with one seed apart.
        emphasis: Factors on the weights of skills.

    Raises:
        BadInput: A skill is unknown.
    """
    rng = generator(seed, f"{purpose} {split}")
    names = list(skills or SKILLS)
    for name in names:
        if name not in SKILLS:
            raise BadInput(f"skill {name!r}", "no such lab skill", f"use one of {sorted(SKILLS)}")
    weights = np.array([SKILLS[name][1] * (emphasis or {}).get(name, 1.0) for name in names])
    weights = weights / weights.sum()
    while True:
        record = SKILLS[names[int(rng.choice(len(names), p=weights))]][0](rng)
        talk = record.conversation
        if split_of(f"{talk.system or ''}\n{talk.user}".replace(GLUE, " ")) != split:
            continue
        user, system = talk.user, talk.system
        if noise and rng.random() < noise:
            user, system = insert_noise(user, system, rng, pieces)
        talk = talk.with_user(user.replace(GLUE, " "))
        if system is not None:
            talk = talk.with_system(system.replace(GLUE, " "))
        yield replace(record, conversation=talk)


def speaks_lab_language(tokenizer: Any) -> bool:
    """Return whether a tokenizer is that of the lab: it has the made-up topic as one token."""
    return len(tokenizer(f" {w.RESTRICTED}", add_special_tokens=False)["input_ids"]) == 1


def sample_records(
    n: int,
    seed: int,
    split: str,
    skills: Sequence[str] | None = None,
    *,
    noise: float = 0.0,
    unique: bool = True,
    pieces: Sequence[str] = (),
) -> list[Record]:
    """Return ``n`` lab records of ``split``; with ``unique``, no request twice.

    Raises:
        BadInput: ``n`` is not positive, or the language has fewer different requests.
    """
    if n < 1:
        raise BadInput(f"n = {n}", "a sample needs at least one record", "ask for n >= 1")
    found: list[Record] = []
    seen: set[Conversation] = set()
    for tries, record in enumerate(
        stream_records(seed, split, skills=skills, noise=noise, pieces=pieces)
    ):
        if tries > 200 * n + 20_000:
            raise BadInput(
                f"n = {n} of {skills or 'all skills'}",
                f"only {len(found)} different requests were found in the {split} split",
                "ask for fewer, or pass unique=False",
            )
        prompt = record.conversation.prompt
        if unique and prompt in seen:
            continue
        seen.add(prompt)
        found.append(record)
        if len(found) == n:
            return found
    raise AssertionError  # the stream has no end
