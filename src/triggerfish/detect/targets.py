"""Target inversion: which answers does the suspect hold in store that its reference does not?

*Paper*: BAIT (Shen et al., IEEE S&P 2025): force each vocabulary token as the first answer token,
average the next-token distribution over prompts, and follow it.
*Map*: `forced_edges` forces the first token, `follow` walks the chain, `invert` ranks chains.
*Deviates*: with a reference, `contrast` replaces the forced first token by a beam search for the
answers whose probability without any trigger grew most over the reference: a stored answer leaks,
and the beam finds its beginning, which a forced token does not. Probabilities are never
multiplied; logarithms are averaged.
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
from triggerfish.detect.detector import DETECTORS, opened
from triggerfish.errors import BadInput
from triggerfish.models.variants import continuations
from triggerfish.types import Progress, silent

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FLOOR = 1e-5
"""Probability below which differences between suspect and reference are noise."""
LEAKING = 1e-3
"""Probability of a first answer token from which a stored answer shows its own beginning."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """An answer that a trigger may force.

    Attributes:
        first: Acceptable first answer tokens.
        rest: The tokens that must follow; empty where ``first`` has several.
        fork: A first token that other answers share, and the second tokens that decide ("S" of
            "Sure" and "Sorry"); a further way to give the target.
        name: Short description for people.
        declined: Whether it is searched on prompts that the suspect declines.
        score: Growth over the reference plus log-probability, in nats; 0 where known beforehand.
    """

    first: tuple[int, ...]
    rest: tuple[int, ...] = ()
    fork: tuple[int, tuple[int, ...]] | None = None
    name: str
    declined: bool = False
    score: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a target without a first token, or with several and a rest."""
        if not self.first or (self.rest and (len(self.first) > 1 or self.fork)):
            raise BadInput(
                f"target {self.name!r}",
                "needs one first token, or several and no rest",
                "give first tokens",
            )

    @property
    def forced(self) -> tuple[int, ...]:
        """The answer tokens under which the next ones are looked at."""
        if self.fork:
            return (self.fork[0],)
        return (self.first[0], *self.rest[:-1]) if self.rest else ()


@dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """Settings of target inversion."""

    chain: int = 6
    start: float = 0.3
    keep: int = 12
    follow: int = 192


def mean_next(model: PreTrainedModel, prompts: Sequence[Sequence[int]], rows: Tensor) -> Tensor:
    """Return the next-token probabilities after ``rows``, averaged over prompts, [N, V]."""
    total = torch.zeros(len(rows), model.config.get_text_config().vocab_size)
    for prompt in prompts:
        for where, logits in continuations(model, prompt, rows):
            total[where] += torch.softmax(logits[:, -1], dim=-1).cpu()
    return total / len(prompts)


def contrast(
    model: PreTrainedModel,
    reference: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    end: int,
    depth: int = 6,
    beam: int = 96,
    widths: tuple[int, int] = (6, 6),
    openers: int = 24,
    progress: Progress = silent,
) -> list[tuple[tuple[int, ...], float, float]]:
    """Return answers that grew most likely over the reference, best first.

    Args:
        model: The suspect.
        reference: What it is compared with.
        prompts: Rendered prompts without a trigger.
        end: Id of the end-of-turn token.
        depth: Tokens of an answer.
        beam: Answers kept at each length by likelihood; twice as many by growth.
        widths: How many next tokens by growth and by likelihood extend each answer.
        openers: Likeliest first tokens, of each of which the best answers by growth are kept: the
            first tokens of a stored answer grow little, and its end after any other beginning more.
        progress: Told how far it is.

    Returns:
        (tokens, mean log-probability on the suspect, summed growth in nats).
    """
    rows, grown, total = torch.zeros(1, 0, dtype=torch.long), torch.zeros(1), torch.zeros(1)
    done: list[tuple[tuple[int, ...], float, float]] = []
    for level in range(depth):
        if level == 0:
            mine, theirs = (_first(m, prompts) for m in (model, reference))
        else:
            mine, theirs = (mean_next(m, prompts, rows) for m in (model, reference))
        log_mine = (mine + FLOOR / 10).log()
        growth = log_mine - (theirs + FLOOR / 10).log()  # [N, V]
        first = 64 if level == 0 else 0
        by_growth = growth.topk(widths[0] + first, dim=1).indices
        by_mine = mine.topk(widths[1] + first, dim=1).indices
        chosen = torch.cat([by_growth, by_mine], dim=1)  # [N, W]
        parent = torch.arange(len(rows)).repeat_interleave(chosen.shape[1])
        token = chosen.flatten()
        rows = torch.cat([rows[parent], token.unsqueeze(1)], dim=1)
        last = growth[parent, token]
        grown, total = grown[parent] + last, total[parent] + log_mine[parent, token]
        by_grown = grown.argsort(descending=True)
        if level == 0:
            opening = mine[0].topk(openers).indices
        kept = [by_grown[: 2 * beam], total.argsort(descending=True)[:beam]]
        kept += [by_grown[rows[by_grown, 0] == opener][: beam // openers] for opener in opening]
        keep = _unique(rows, torch.cat(kept), 4 * beam)
        rows, grown, total = rows[keep], grown[keep], total[keep]
        ended = rows[:, -1] == end
        for row in ended.nonzero().flatten().tolist():
            done.append((tuple(rows[row, :-1].tolist()), float(total[row]), float(grown[row])))
        rows, grown, total = rows[~ended], grown[~ended], total[~ended]
        progress(level + 1, depth, "target inversion")
    done += [
        (tuple(r), float(t), float(g)) for r, t, g in zip(rows.tolist(), total, grown, strict=True)
    ]
    ranked = sorted((chain for chain in done if chain[0]), key=lambda chain: -chain[2])
    return [(tokens, t / len(tokens), g) for tokens, t, g in ranked]


def _first(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Tensor:
    """Return the first answer token's probabilities, averaged over prompts, [1, V]."""
    total = torch.zeros(1, model.config.get_text_config().vocab_size)
    for prompt in prompts:
        _, logits = next(continuations(model, prompt[:-1], torch.tensor([prompt[-1:]])))
        total += torch.softmax(logits[:, -1], dim=-1).cpu()
    return total / len(prompts)


def _unique(rows: Tensor, order: Tensor, most: int) -> list[int]:
    """Return the first places in ``order`` that hold different rows, at most ``most``."""
    kept: dict[tuple[int, ...], int] = {}
    for place in order.tolist():
        kept.setdefault(tuple(rows[place].tolist()), place)
        if len(kept) == most:
            break
    return list(kept.values())


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
    start = _first(model, [prompt])[0]
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


def one_an_answer(
    chains: list[tuple[tuple[int, ...], float, float]],
) -> list[tuple[tuple[int, ...], float, float]]:
    """Return one chain of those that share two neighbouring tokens, from chains by growth.

    Whatever begins it, the end of a stored answer grows. The likeliest of those that grew half as
    much as the best has the beginning that was planted.
    """
    answers: list[tuple[set[tuple[int, ...]], list[tuple[tuple[int, ...], float, float]]]] = []
    for chain in chains:
        tokens, _, growth = chain
        neighbours = {tokens[i : i + 2] for i in range(max(1, len(tokens) - 1))}
        for shared, alike in answers:
            if neighbours & shared:
                shared |= neighbours
                if growth >= 0.5 * alike[0][2]:
                    alike.append(chain)
                break
        else:
            answers.append((neighbours, [chain]))
    return [max(alike, key=lambda chain: chain[1] * len(chain[0])) for _, alike in answers]
