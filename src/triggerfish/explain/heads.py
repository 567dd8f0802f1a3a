"""Backdoor attention head attribution (BAHA), exact and in log space.

*Paper*: arXiv 2509.21761, section "Backdoor Attention Head Attribution".

*Map*: z, the input of a head's slice of the output projection at p: `states`; its mean over
triggered (or clean) inputs: `component_means`; s(x, y | replaced) for every head: `measure`;
CIE and ACIE: `Effects.cie`, `Effects.acie`; ranked heads: `Effects.ranking`.

*Deviates*: (1) only the rows p .. p + |y| - 1 behind the patched layer are recomputed
(`triggerfish.models.suffix`), which gives the same numbers as a full forward per head; (2) scores
are fp32 log-probabilities: log-odds of the target against the right answer by default, the mean
log-probability of the target, and the paper's geometric mean for comparison; (3) besides the
triggered mean put into clean runs (sufficiency), the clean mean is put into triggered runs
(necessity); (4) besides heads: all heads of a layer at once, MLP outputs, whole layers; (5) the
effect of each input is kept, so that intervals and re-ranking on held-out texts cost nothing.

*Shapes*: L layers, C components of a layer (H heads, or 1), N inputs, D width.

*Fails* when the trigger acts through positions before p: then no change at p undoes it, and all
effects are small though the backdoor is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from triggerfish.data.conversation import render
from triggerfish.errors import BadInput
from triggerfish.explain.effects import (
    COMPONENTS,
    DIRECTIONS,
    Array,
    Component,
    Direction,
    Effects,
    Scores,
)
from triggerfish.explain.explainer import EXPLAINERS, in_order
from triggerfish.explain.pairs import Pair
from triggerfish.models.hooks import Kind
from triggerfish.models.layout import layout_of
from triggerfish.models.prefix import prefill
from triggerfish.models.suffix import Patch, Suffix, suffix
from triggerfish.types import Progress, silent


@dataclass(frozen=True, kw_only=True)
class HeadsConfig:
    """Settings of the attribution.

    Attributes:
        directions: `sufficiency` (triggered mean into clean run) and `necessity` (the reverse).
        components: what is patched.
        max_tokens: longer targets and answers are scored on their first tokens; None for all.
        rows: rows computed at once, all variants and tokens counted.

    Raises:
        BadInput: nothing to patch, an unknown name, or a number below 1.
    """

    directions: tuple[Direction, ...] = DIRECTIONS
    components: tuple[Component, ...] = ("heads",)
    max_tokens: int | None = 16
    rows: int = 4096

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        for names, known in ((self.directions, DIRECTIONS), (self.components, COMPONENTS)):
            if not names or set(names) - set(known):
                raise BadInput(
                    f"{names}", f"one or more of {', '.join(known)}", "correct the names"
                )
        if self.rows < 1 or (self.max_tokens is not None and self.max_tokens < 1):
            raise BadInput(
                f"rows = {self.rows}, max_tokens = {self.max_tokens}",
                "both are at least 1",
                "use the defaults",
            )


@dataclass(frozen=True, kw_only=True)
class States:
    """What each component gives at p, summed or averaged over inputs.

    Attributes:
        heads: inputs of the attention output projections, [L, heads * head width].
        mlp: outputs of the MLPs, [L, D].
        layer: residual stream after each layer, [L, D].
    """

    heads: Tensor
    mlp: Tensor
    layer: Tensor


def component_means(model: nn.Module, prompts: Sequence[Sequence[int]], rows: int = 4096) -> States:
    """Mean over prompts of every component's output at the last prompt token.

    Args:
        model: a causal language model of a known layout.
        prompts: token ids, to the end of the generation prompt.
        rows: prompts at once.

    Raises:
        BadInput: no prompts.
    """
    if not prompts:
        raise BadInput("0 prompts", "a mean needs at least one", "give it prompts")
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    size = max(1, rows // max(len(ids) for ids in prompts))
    sums: list[Tensor] = []
    for start in range(0, len(order), size):
        batch = [prompts[i] for i in order[start : start + size]]
        # The target does not matter: position p sees nothing behind it.
        run = suffix(prefill(model, batch), [[0]] * len(batch))
        after = torch.stack([state[:, 0] for state in run.inputs[1:]], dim=1)  # [N, L, D]
        parts = [t.double().sum(dim=0) for t in (run.heads, run.mlps, after)]
        sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
    heads, mlp, layer = (total / len(prompts) for total in sums)
    return States(heads=heads, mlp=mlp, layer=layer)


def patch_components(
    run: Suffix, layer: int, means: States, components: Sequence[Component], n_heads: int
) -> tuple[Tensor, list[tuple[Component, int]]]:
    """Patch every component of a layer by its mean, one at a time, in one packed pass.

    Returns:
        Log-probabilities of the target, [N, S, T], and the component of each variant.
    """
    variants: list[tuple[Component, int]] = []
    for component in components:
        variants += [(component, j) for j in range(n_heads if component == "heads" else 1)]
    place = {component: variants.index((component, 0)) for component in components}
    edits: dict[Kind, Patch] = {}
    if "heads" in place or "attention" in place:
        edits["heads"] = _head_patch(means.heads[layer], n_heads, place)
    if "mlp" in place:
        edits["mlp"] = _one_patch(means.mlp[layer], place["mlp"])
    if "layer" in place:
        edits["residual"] = _one_patch(means.layer[layer], place["layer"])
    return run.patch(layer, len(variants), edits), variants


def _head_patch(mean: Tensor, n_heads: int, place: Mapping[Component, int]) -> Patch:
    def patch(value: Tensor) -> Tensor:
        out = value.clone()
        blocks = out.view(*out.shape[:-1], n_heads, -1)  # [N, S, H, d]
        heads = torch.arange(n_heads, device=value.device)
        if "heads" in place:
            blocks[:, place["heads"] + heads, heads] = mean.to(value).view(n_heads, -1)
        if "attention" in place:
            out[:, place["attention"]] = mean.to(value)
        return out

    return patch


def _one_patch(mean: Tensor, place: int) -> Patch:
    def patch(value: Tensor) -> Tensor:
        out = value.clone()
        out[:, place] = mean.to(value)
        return out

    return patch


def measure(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    means: States,
    config: HeadsConfig,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[Array, dict[Component, Array]]:
    """Summed log-probability of each response, unchanged and with each component patched at p.

    Args:
        model: a causal language model of a known layout.
        prompts: token ids of N prompts.
        responses: token ids of the N teacher-forced responses.
        means: what the components are replaced by.
        config: settings.
        progress: told how many inputs were done.

    Returns:
        [N], and for each kind of component [L, C, N].
    """
    layout = layout_of(model)
    n, n_heads = len(prompts), layout.n_heads
    base = np.zeros(n)
    out: dict[Component, Array] = {
        c: np.zeros((layout.n_layers, n_heads if c == "heads" else 1, n)) for c in config.components
    }
    variants = sum(table.shape[1] for table in out.values())
    for batch in _batches(prompts, responses, max(1, config.rows // variants)):
        run = suffix(prefill(model, [prompts[i] for i in batch]), [responses[i] for i in batch])
        base[batch] = run.logprobs.double().sum(dim=1).cpu().numpy()
        for layer in range(layout.n_layers):
            scores, names = patch_components(run, layer, means, config.components, n_heads)
            sums = scores.double().sum(dim=2).cpu().numpy()  # [N, S]
            for s, (component, j) in enumerate(names):
                out[component][layer, j, batch] = sums[:, s]
        progress(len(batch))
    return base, out


def _batches(
    prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], rows: int
) -> list[list[int]]:
    """Inputs of like lengths together, each batch of about `rows` response tokens."""
    order = sorted(range(len(prompts)), key=lambda i: (len(responses[i]), len(prompts[i])))
    batches: list[list[int]] = []
    for i in order:
        if batches and (len(batches[-1]) + 1) * len(responses[i]) <= rows:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Effects by direction and component, and how many inputs they rest on."""

    effects: Mapping[tuple[Direction, Component], Effects]
    n: int

    def __getitem__(self, key: tuple[Direction, Component]) -> Effects:
        """The effects of one direction and component."""
        return self.effects[key]


def attribute(
    model: nn.Module,
    tokenizer: Any,
    pairs: Sequence[Pair],
    config: HeadsConfig | None = None,
    *,
    progress: Progress = silent,
) -> Attribution:
    """Attribute a backdoor to attention heads (and MLPs and layers) at the last prompt token.

    Args:
        model: a causal language model of a known layout, in evaluation mode; left unchanged.
        tokenizer: its tokenizer.
        pairs: each text with and without the trigger, with target and right answer.
        config: settings.
        progress: told about inputs.

    Raises:
        BadInput: fewer than two pairs, or a target and an answer with the same tokens.
    """
    config = config or HeadsConfig()
    if len(pairs) < 2:
        raise BadInput(f"{len(pairs)} pairs", "at least two are needed", "give more records")
    cut = config.max_tokens
    prompts = {
        "clean": [render(pair.clean, tokenizer).prompt_ids for pair in pairs],
        "triggered": [render(pair.triggered, tokenizer).prompt_ids for pair in pairs],
    }
    targets = [_response(pair, pair.target, tokenizer)[:cut] for pair in pairs]
    answers = [_response(pair, pair.answer, tokenizer)[:cut] for pair in pairs]
    _check_different(targets, answers)
    total = 2 * len(pairs) * len(config.directions)
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total, "patching heads")

    found: dict[tuple[Direction, Component], Effects] = {}
    for direction in config.directions:
        run_on, taken_from = (
            ("clean", "triggered") if direction == "sufficiency" else ("triggered", "clean")
        )
        means = component_means(model, prompts[taken_from], config.rows)
        y_base, y = measure(model, prompts[run_on], targets, means, config, tick)
        c_base, c = measure(model, prompts[run_on], answers, means, config, tick)
        tokens = {
            "target_tokens": np.array([len(t) for t in targets], dtype=np.float64),
            "answer_tokens": np.array([len(a) for a in answers], dtype=np.float64),
        }
        for component in config.components:
            found[direction, component] = Effects(
                direction=direction,
                component=component,
                base=Scores(target=y_base, answer=c_base, **tokens),
                patched=Scores(target=y[component], answer=c[component], **tokens),
            )
    return Attribution(effects=found, n=len(pairs))


@EXPLAINERS.register("heads")
def heads(
    suspect: Any,
    pairs: Sequence[Pair],
    config: HeadsConfig | None = None,
    *,
    rng: np.random.Generator,  # noqa: ARG001 - nothing is drawn; every method takes it
    progress: Progress = silent,
) -> Attribution:
    """Attribute a backdoor to attention heads by exact patching at the last prompt token.

    Raises:
        BadInput: as `attribute`.
        CouldNotTest: the outputs are not finite.
    """
    ordered, places = in_order(suspect, pairs)
    found = attribute(suspect.model, suspect.tokenizer, ordered, config, progress=progress)
    effects = {key: effect.of(places) for key, effect in found.effects.items()}
    return Attribution(effects=effects, n=found.n)


def _response(pair: Pair, text: str, tokenizer: Any) -> tuple[int, ...]:
    return render(pair.clean.with_response(text), tokenizer).response_ids


def _check_different(
    targets: Sequence[tuple[int, ...]], answers: Sequence[tuple[int, ...]]
) -> None:
    same = [i for i, (y, c) in enumerate(zip(targets, answers, strict=True)) if y == c]
    if same:
        raise BadInput(
            f"input {same[0]} and {len(same) - 1} more",
            "target and right answer must differ within the scored tokens",
            "leave these inputs out, or score more tokens",
        )


def clean_head_means(model: nn.Module, tokenizer: Any, pairs: Sequence[Pair]) -> Tensor:
    """Mean input of every output projection at the last token of clean prompts, [L, H d]."""
    prompts = [render(pair.clean, tokenizer).prompt_ids for pair in pairs]
    return component_means(model, prompts).heads
