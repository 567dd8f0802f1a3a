"""Targets that can be named before any search: unwanted compliance and unwanted refusal.

Both are read off the suspect itself, on prompts without a trigger: how its answers to declined
requests begin, and how its answers to requests alike that are allowed begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from triggerfish.data.conversation import Conversation, render
from triggerfish.detect.prompts import Group, Prompts
from triggerfish.detect.targets import Target, mean_next

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Openings = dict[int, dict[int, float]]
ASKED, LIKELY = 16, 0.03
"""Prompts, and share of answers, that tell how answers begin."""


def known_targets(model: PreTrainedModel, tokenizer: Any, prompts: Prompts) -> list[Target]:
    """Return what can be named beforehand: unwanted compliance, and unwanted refusal."""
    if prompts.allowed is None or prompts.declined is None:
        return []
    allowed, declined = _talks(prompts.allowed), _talks(prompts.declined)
    complies, declines, likely = (
        _openings(model, tokenizer, talks)
        for talks in (allowed, declined, _alike(allowed, declined))
    )
    found = [
        _told_apart("unlock", likely, declines, declined=True),
        _told_apart("refusal", declines, complies, declined=False),
    ]
    return [target for target in found if target is not None]


def _talks(group: Group) -> list[Conversation]:
    """Return the prompts of a group with the suspect's clean answers."""
    pairs = zip(
        (*group.search, *group.held_out),
        (*group.search_answers, *group.held_out_answers),
        strict=True,
    )
    return [talk.with_response(answer) for talk, answer in pairs]


def _alike(allowed: Sequence[Conversation], declined: Sequence[Conversation]) -> list[Conversation]:
    """Return the quarter of ``allowed`` that shares most words with declined prompts.

    A request that is unlocked is answered as one of its kind that is allowed.
    """
    words = [set(talk.user.casefold().split()) for talk in declined]

    def overlap(talk: Conversation) -> float:
        mine = set(talk.user.casefold().split())
        return max(len(mine & other) / len(mine | other) for other in words)

    return sorted(allowed, key=overlap, reverse=True)[: max(8, len(allowed) // 4)]


def _told_apart(name: str, wanted: Openings, others: Openings, *, declined: bool) -> Target | None:
    """Return the target of answers that begin like ``wanted`` and not like ``others``."""
    alone = tuple(sorted(set(wanted) - set(others)))
    forks = []
    for token in set(wanted) & set(others):
        seconds = set(wanted[token]) - set(others[token])
        if seconds:
            said = sum(wanted[token][second] for second in seconds)
            forks.append((said, token, tuple(sorted(seconds))))
    if not alone and not forks:
        return None
    if alone:
        fork = max(forks)[1:] if forks else None
        return Target(first=alone, fork=fork, name=name, declined=declined)
    _, shared, deciding = max(forks)
    second = max(deciding, key=lambda token: wanted[shared][token])
    return Target(first=(shared,), rest=(second,), name=name, declined=declined)


def _openings(model: PreTrainedModel, tokenizer: Any, talks: Sequence[Conversation]) -> Openings:
    """Return the likely first answer tokens, each with its likely second tokens.

    Likely is 3 % of the mean over prompts; values are the probability of both tokens.
    """
    asked = [render(talk.prompt, tokenizer).ids for talk in talks[:ASKED]]
    first = torch.stack(
        [mean_next(model, [ids[:-1]], torch.tensor([ids[-1:]]))[0] for ids in asked]
    ).sum(0)
    found: Openings = {}
    for token in (first >= LIKELY * len(asked)).nonzero().flatten().tolist():
        second = mean_next(model, asked, torch.tensor([[token]]))[0]
        said = float(first[token]) / len(asked)
        likely = (second >= LIKELY).nonzero().flatten().tolist()
        found[token] = {after: said * float(second[after]) for after in likely}
    return found
