"""Target inversion: which answers does the suspect hold in store that its reference does not?

*Paper*: BAIT (Shen et al., IEEE S&P 2025): force each vocabulary token as the first answer token,
average the next-token distribution over prompts, and follow it.
*Map*: `forced_edges` forces the first token, `follow` walks the chain, `invert` ranks chains.
*Deviates*: with a reference, `contrast` (in its own file) replaces the forced first token by a
beam search for the answers whose probability without any trigger grew most over the reference: a
stored answer leaks, and the beam finds its beginning, which a forced token does not. Probabilities
are never multiplied; logarithms are averaged.
*Shapes*: V vocabulary, K chain length, N prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from triggerfish.data.conversation import Conversation, render
from triggerfish.detect.contrast import contrast, one_an_answer
from triggerfish.detect.detector import DETECTORS, opened
from triggerfish.detect.targets import FLOOR, mean_first, mean_next
from triggerfish.errors import BadInput
from triggerfish.types import Progress, silent

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LEAKING = 1e-3
"""Probability of a first answer token from which a stored answer shows its own beginning."""


@dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """Settings of target inversion."""

    chain: int = 6
    start: float = 0.3
    keep: int = 12
    follow: int = 192


def forced_edges(
    model: PreTrainedModel,
    reference: PreTrainedModel | None,
    prompts: Sequence[Sequence[int]],
    progress: Progress = silent,
    batch: int = 1024,
) -> tuple[Tensor, Tensor, Tensor]:
    """Force every token as the first answer token.

    Returns:
        For each token [V]: the likeliest next token, its mean log-probability on the suspect, and
        its margin over the reference in nats (the log-probability itself without a reference).
    """
    size = model.config.get_text_config().vocab_size
    best, logp, margin = [], [], []
    for begin in range(0, size, batch):
        rows = torch.arange(begin, min(size, begin + batch)).unsqueeze(1)  # [B, 1]
        suspect = mean_next(model, prompts, rows)  # [B, V]
        probability, token = suspect.max(dim=1)
        value = (probability + FLOOR).log()
        best.append(token)
        logp.append(value)
        if reference is None:
            margin.append(value)
        else:
            other = mean_next(reference, prompts, rows)
            theirs = other.gather(1, token.unsqueeze(1)).squeeze(1)
            margin.append(value - (theirs + FLOOR).log())
        progress(min(size, begin + batch), size, "target inversion")
    return torch.cat(best), torch.cat(logp), torch.cat(margin)


def follow(
    model: PreTrainedModel,
    reference: PreTrainedModel | None,
    prompts: Sequence[Sequence[int]],
    chains: Tensor,
    end: int,
    config: InversionConfig,
) -> list[tuple[tuple[int, ...], float, float]]:
    """Extend chains [N, 2] greedily; return (tokens, mean log-probability, mean margin)."""
    alive = torch.ones(len(chains), dtype=torch.bool)
    total, margin = torch.zeros(len(chains)), torch.zeros(len(chains))
    length = torch.ones(len(chains))
    for _ in range(config.chain - 2):
        suspect = mean_next(model, prompts, chains)
        probability, token = suspect.max(dim=1)
        alive = alive & (probability > config.start) & (token != end)
        if not alive.any():
            break
        value = (probability + FLOOR).log()
        theirs = torch.full_like(value, 0.0)
        if reference is not None:
            other = mean_next(reference, prompts, chains)
            theirs = (other.gather(1, token.unsqueeze(1)).squeeze(1) + FLOOR).log()
        total += torch.where(alive, value, torch.zeros(()))
        margin += torch.where(alive, value - theirs, torch.zeros(()))
        length += alive
        chains = torch.cat([chains, torch.where(alive, token, end).unsqueeze(1)], dim=1)
    found = []
    for row, tokens in enumerate(chains.tolist()):
        kept = tuple(tokens[: int(length[row]) + 1])
        found.append((kept, float(total[row] / length[row]), float(margin[row])))
    return found


def invert(
    model: PreTrainedModel,
    reference: PreTrainedModel | None,
    prompts: Sequence[Sequence[int]],
    *,
    end: int,
    config: InversionConfig | None = None,
    progress: Progress = silent,
) -> list[tuple[tuple[int, ...], float, float]]:
    """Return stored answers as (tokens, mean log-probability, summed margin), best first.

    Args:
        model: The suspect.
        reference: The same for the reference, or None.
        prompts: Rendered prompts, a few different ones.
        end: Id of the end-of-turn token.
        config: Settings.
        progress: Told how far it is.

    Raises:
        BadInput: No prompts.
    """
    if not prompts:
        raise BadInput("0 prompts", "target inversion averages over prompts", "give some")
    config = config or InversionConfig()
    if reference is not None:
        found = contrast(model, reference, prompts, end=end, progress=progress)
        return one_an_answer(found)[: config.keep]
    best, logp, margin = forced_edges(model, reference, prompts, progress)
    usable = (logp.exp() > config.start) & (best != end)
    ranked = torch.where(usable, margin, -torch.inf).argsort(descending=True)[: config.follow]
    ranked = ranked[usable[ranked]]
    if not len(ranked):
        return []
    chains = torch.stack([ranked, best[ranked]], dim=1)
    found = [
        (tokens, quality, margin[tokens[0]].item() + gained)
        for tokens, quality, gained in follow(model, reference, prompts, chains, end, config)
    ]
    found.sort(key=lambda item: -item[2])
    return _without_tails(found)[: config.keep]


def beginnings(
    model: PreTrainedModel,
    prompt: Sequence[int],
    chain: Sequence[int],
    *,
    steps: int = 3,
    batch: int = 1024,
) -> tuple[int, ...]:
    """Return the unusual first tokens after which the suspect says the end of a stored answer.

    A first token that no answer begins with does not leak: the end follows whatever unusual token
    is forced, and the first token of a chain means nothing. What a trigger raises is one of them.

    Args:
        model: The suspect.
        prompt: A rendered prompt without a trigger.
        chain: The stored answer.
        steps: Likeliest tokens that are followed after each forced one.
        batch: Tokens that are forced at once.
    """
    start = mean_first(model, [prompt])[0]
    wanted = set(list(pairwise(chain))[(len(chain) - 1) // 2 :])
    found: list[int] = []
    for tokens in torch.split((start < LEAKING).nonzero().flatten(), batch):
        rows = tokens.unsqueeze(1)  # [B, 1]
        for _ in range(steps):
            rows = torch.cat([rows, mean_next(model, [prompt], rows).argmax(1, True)], dim=1)
        found += [row[0] for row in rows.tolist() if wanted.intersection(pairwise(row[1:]))]
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An answer that the suspect may hold in store.

    Attributes:
        text: Its beginning.
        tokens: The same in tokens.
        likelihood: Mean log-probability per token in nats on prompts without a trigger.
        growth: Summed growth over the reference in nats; the log-probability without one.
    """

    text: str
    tokens: tuple[int, ...]
    likelihood: float
    growth: float


@DETECTORS.register("target-inversion")
def target_inversion(
    suspect: Any,
    prompts: Sequence[Conversation],
    config: InversionConfig | None = None,
    *,
    rng: np.random.Generator,  # noqa: ARG001 - nothing is drawn; every method takes it
    progress: Progress = silent,
) -> tuple[Stored, ...]:
    """Find answers that the suspect holds in store and its reference does not, best first.

    Raises:
        BadInput: No prompts.
        CouldNotTest: The model's outputs are not finite.
    """
    tokenizer = suspect.tokenizer
    with opened(suspect, prompts) as (model, reference, ordered):
        chains = invert(
            model,
            reference,
            [render(talk, tokenizer).ids for talk in ordered],
            end=tokenizer.eos_token_id,
            config=config,
            progress=progress,
        )
    return tuple(
        Stored(
            text=tokenizer.decode(tokens).strip(),
            tokens=tokens,
            likelihood=likelihood,
            growth=growth,
        )
        for tokens, likelihood, growth in chains
    )


def _without_tails(
    chains: list[tuple[tuple[int, ...], float, float]],
) -> list[tuple[tuple[int, ...], float, float]]:
    """Drop chains that another chain contains from its second token on."""
    inner = {tokens[i : i + 2] for tokens, _, _ in chains for i in range(1, len(tokens) - 1)}
    return [chain for chain in chains if chain[0][:2] not in inner]
