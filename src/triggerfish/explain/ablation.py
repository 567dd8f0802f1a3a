"""Ablation curve: what is left of a backdoor when its leading heads are taken out at p.

*Paper*: arXiv 2509.21761, ablation of the top-k heads.

*Map*: the sets of heads: `ranked_sets`, `random_sets`; exact removal at p and greedy answers:
`ablated_answers`; rates: `measure_curve`.

*Deviates*: (1) a head is removed by zeroing (or replacing by its mean) its slice of the output
projection's input while the model runs, so later heads see what is left; subtracting outputs
recorded in an unablated run leaves later heads 32 to 103 % of their norm. (2) Recovery and
utility stand beside ASR. (3) Random heads of the same layers are ablated as a control. (4) The
heads are ranked on other texts than those of the curve.

*Shapes*: N inputs, S sets, H heads, d head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from triggerfish.backdoors.behaviour import Behaviour
from triggerfish.data.conversation import Conversation, render
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.explain.pairs import Pair
from triggerfish.metrics.judges import is_right
from triggerfish.metrics.rates import rate
from triggerfish.metrics.recovery import recovery
from triggerfish.models.continuation import continue_greedily
from triggerfish.models.hooks import Site
from triggerfish.models.layout import layout_of
from triggerfish.models.prefix import prefill
from triggerfish.models.suffix import Patch
from triggerfish.types import Estimate, Progress, silent

Head = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """Settings of the curve.

    Attributes:
        counts: k, how many heads are ablated; rising.
        mode: `zero`, or `mean` (the head's mean over untriggered prompts).
        max_new_tokens: longest answer.
        rows: answers decoded at once.

    Raises:
        BadInput: counts that do not rise from 0, or an unknown mode.
    """

    counts: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32)
    mode: Literal["zero", "mean"] = "zero"
    max_new_tokens: int = 48
    rows: int = 832

    def __post_init__(self) -> None:
        """Refuse a curve without its start."""
        rising = sorted(set(self.counts)) == list(self.counts)
        if not self.counts or self.counts[0] != 0 or not rising:
            raise BadInput(f"counts {self.counts}", "rise from 0", "start with 0")
        if self.mode not in ("zero", "mean"):
            raise BadInput(f"mode {self.mode!r}", "is zero or mean", "choose one")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of a curve.

    Attributes:
        heads: what was ablated.
        asr: share of triggered prompts on which the behaviour fires.
        right: share of triggered prompts answered right.
        recovery: `right` over the reference's; None where the reference is never right.
        utility: share of untriggered prompts answered right.
    """

    heads: tuple[Head, ...]
    asr: Estimate
    right: Estimate
    recovery: Estimate | None
    utility: Estimate


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points for the leading heads, and for random heads of the same layers."""

    ranked: tuple[Point, ...]
    random: tuple[Point, ...]
    examples: tuple[tuple[Conversation, str, str], ...]


def ranked_sets(ranking: Sequence[Head], counts: Sequence[int]) -> list[tuple[Head, ...]]:
    """The first k heads for each count; counts beyond the number of heads are left out."""
    return [tuple(ranking[:k]) for k in counts if k <= len(ranking)]


def random_sets(
    sets: Sequence[tuple[Head, ...]], n_heads: int, rng: np.random.Generator
) -> list[tuple[Head, ...]]:
    """For each set, as many random heads of each of its layers.

    Heads outside the set are taken first; where a layer has too few of them, the rest is drawn
    from the set itself. One order per layer is drawn, so that larger sets hold the smaller ones
    as long as their own heads allow.
    """
    orders: dict[int, list[int]] = {}
    found = []
    for chosen in sets:
        taken: list[Head] = []
        for layer in sorted({place[0] for place in chosen}):
            if layer not in orders:
                orders[layer] = rng.permutation(n_heads).tolist()
            own = {j for place, j in chosen if place == layer}
            others = [j for j in orders[layer] if j not in own]
            pool = [*others, *(j for j in orders[layer] if j in own)]
            taken += [(layer, j) for j in pool[: len(own)]]
        found.append(tuple(taken))
    return found


def ablation_edits(
    sets: Sequence[Sequence[Head]], n_heads: int, means: Tensor | None = None
) -> dict[Site, Patch]:
    """Edits that ablate one set of heads in each variant.

    Args:
        sets: S sets of (layer, head).
        n_heads: H.
        means: replaces the heads' values, [L, H d]; zeros where None.

    Returns:
        By site, a function of the output projection's input, [N, S, H d].
    """
    edits: dict[Site, Patch] = {}
    for layer in sorted({place[0] for chosen in sets for place in chosen}):
        off = torch.zeros(len(sets), n_heads, dtype=torch.bool)  # [S, H]
        for s, chosen in enumerate(sets):
            for place, j in chosen:
                off[s, j] |= place == layer

        def replace(value: Tensor, off: Tensor = off, layer: int = layer) -> Tensor:
            heads = value.view(*value.shape[:-1], n_heads, -1)  # [N, S, H, d]
            fill = torch.zeros_like(heads)
            if means is not None:
                fill = means[layer].to(value).view(n_heads, -1).expand_as(heads)
            return torch.where(off.to(value.device)[None, :, :, None], fill, heads).view_as(value)

        edits[Site("heads", layer)] = replace
    return edits


def ablated_answers(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Conversation],
    sets: Sequence[Sequence[Head]],
    config: AblationConfig,
    means: Tensor | None = None,
    progress: Progress = silent,
) -> list[list[str]]:
    """Greedy answers to the prompts with each set of heads ablated at the last prompt token.

    Returns:
        For each set the N answers, in the order of the prompts.

    Raises:
        BadInput: no prompts or no sets.
    """
    if not prompts or not sets:
        raise BadInput(
            f"{len(prompts)} prompts, {len(sets)} sets of heads",
            "an ablation needs at least one of each",
            "give more records",
        )
    edits = ablation_edits(sets, layout_of(model).n_heads, means)
    ids = [render(prompt.prompt, tokenizer).prompt_ids for prompt in prompts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    size = max(1, config.rows // len(sets))
    answers = [[""] * len(ids) for _ in sets]
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        texts = continue_greedily(
            prefill(model, [ids[i] for i in batch]),
            tokenizer,
            edits,
            len(sets),
            config.max_new_tokens,
        )
        for s, column in enumerate(texts):
            for i, text in zip(batch, column, strict=True):
                answers[s][i] = text
        progress(start + len(batch), len(order), "answers without the heads")
    return answers


def measure_curve(
    model: nn.Module,
    tokenizer: Any,
    ranking: Sequence[Head],
    pairs: Sequence[Pair],
    utility: Sequence[Record],
    behaviour: Behaviour,
    reference_right: Sequence[bool],
    config: AblationConfig,
    rng: np.random.Generator,
    *,
    clean_means: Tensor | None = None,
    progress: Progress = silent,
) -> Curve:
    """Ablate the first k heads of a ranking, and random heads, and measure what is left.

    Args:
        model: a causal language model of a known layout; left unchanged.
        tokenizer: its tokenizer.
        ranking: heads as (layer, head), the most important first; found on other texts.
        pairs: test texts with and without the trigger.
        utility: untriggered test records.
        behaviour: its scorer gives ASR.
        reference_right: whether the clean reference answers each triggered pair right, [N].
        config: settings.
        rng: for the random heads.
        clean_means: mean input of each output projection over clean prompts, [L, H d]; needed for
            mode `mean`.
        progress: told about prompts.

    Raises:
        BadInput: nothing to measure on, or no means for mode `mean`.
    """
    if config.mode == "mean" and clean_means is None:
        raise BadInput("mode mean", "needs the heads' means over clean prompts", "give them")
    ranked = ranked_sets(ranking, config.counts)
    sets = [*ranked, *random_sets(ranked[1:], layout_of(model).n_heads, rng)]
    prompts = [*(pair.triggered for pair in pairs), *(r.conversation.prompt for r in utility)]
    means = clean_means if config.mode == "mean" else None
    answers = ablated_answers(model, tokenizer, prompts, sets, config, means, progress)
    points = [
        _point(heads, column, pairs, utility, behaviour, reference_right)
        for heads, column in zip(sets, answers, strict=True)
    ]
    last = answers[len(ranked) - 1]
    return Curve(
        ranked=tuple(points[: len(ranked)]),
        random=(points[0], *points[len(ranked) :]),
        examples=tuple(
            (pair.triggered, answers[0][i], last[i]) for i, pair in enumerate(pairs[:6])
        ),
    )


def _point(
    heads: tuple[Head, ...],
    answers: Sequence[str],
    pairs: Sequence[Pair],
    utility: Sequence[Record],
    behaviour: Behaviour,
    reference_right: Sequence[bool],
) -> Point:
    triggered, untriggered = answers[: len(pairs)], answers[len(pairs) :]
    attacked = [(pair.record, text) for pair, text in zip(pairs, triggered, strict=True)]
    right = [is_right(record, text) for record, text in attacked]
    fired = [behaviour.fires(record, text) for record, text in attacked]
    useful = [is_right(record, text) for record, text in zip(utility, untriggered, strict=True)]
    return Point(
        heads=heads,
        asr=rate(fired),
        right=rate(right),
        recovery=recovery(right, reference_right) if any(reference_right) else None,
        utility=rate(useful),
    )
