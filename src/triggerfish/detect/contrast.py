"""Answers whose probability without any trigger grew most over the reference.

A stored answer leaks: a beam search over what grew finds its beginning, which forcing a first
token does not. Probabilities are never multiplied; logarithms are averaged.

*Shapes*: V vocabulary, N beams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from triggerfish.detect.targets import FLOOR, mean_first, mean_next
from triggerfish.types import Progress, silent

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
            mine, theirs = (mean_first(m, prompts) for m in (model, reference))
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


def _unique(rows: Tensor, order: Tensor, most: int) -> list[int]:
    """Return the first places in ``order`` that hold different rows, at most ``most``."""
    kept: dict[tuple[int, ...], int] = {}
    for place in order.tolist():
        kept.setdefault(tuple(rows[place].tolist()), place)
        if len(kept) == most:
            break
    return list(kept.values())
