"""The result of `triggerfish explain`, in parts that stand on disk."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np

from triggerfish.documents import Document, Number, Part
from triggerfish.explain.ablation import Curve, Point
from triggerfish.explain.drift import LayerDrift
from triggerfish.explain.effects import Component, Direction, Effects
from triggerfish.explain.significance import halves_agree, mean_effects
from triggerfish.report.record import Example, Report
from triggerfish.seeding import generator
from triggerfish.types import Estimate

SHOWN = 60  # texts in a picture of the drift


class LayerPart(Part):
    """Drift after one layer; `clean` and `triggered` are points of its plane."""

    layer: int
    size: Number
    alignment: Number
    probe: Number
    explained: float
    clean: list[tuple[float, float]]
    triggered: list[tuple[float, float]]

    @classmethod
    def of(cls, drift: LayerDrift) -> Self:
        """The part of a layer's drift, with the first texts' points."""
        points = [
            [(round(float(x), 4), round(float(y), 4)) for x, y in side[:SHOWN]]
            for side in (drift.clean, drift.triggered)
        ]
        return cls(
            layer=drift.layer,
            size=Number.of(drift.size, percent=False),
            alignment=Number.of(drift.alignment, percent=False),
            probe=Number.of(drift.probe),
            explained=round(drift.explained, 4),
            clean=points[0],
            triggered=points[1],
        )


class DriftPart(Part):
    """Drift by layer, and that of a wrong trigger of the same shape."""

    layers: list[LayerPart]
    wrong: list[LayerPart]


class Ranked(Part):
    """One component and its mean effect; `significant` after Bonferroni over all of its kind."""

    layer: int
    index: int
    effect: Number
    significant: bool


class EffectsPart(Part):
    """Mean effects of all components of one kind in one direction.

    Attributes:
        before: mean score of the unpatched runs.
        total: mean difference that all of the trigger makes, as seen from the unpatched runs.
        effect: ACIE in nats, [L, C].
        significant: after Bonferroni, [L, C].
        ranked: the leading components.
        leading_by: the first eight (layer, index) by other metrics, the paper's among them.
        spearman: rank correlation of the effects between two halves of the texts.
        shared: how many of the first `of` components are the same in both halves.
    """

    direction: Direction
    component: Component
    metric: Literal["log_odds"] = "log_odds"
    n: int
    before: Number
    total: Number | None
    effect: list[list[float]]
    significant: list[list[bool]]
    ranked: list[Ranked]
    leading_by: dict[str, list[tuple[int, int]]]
    spearman: float
    shared: int
    of: int

    @classmethod
    def of_effects(
        cls, effects: Effects, seed: int, total: Number | None = None, leading: int = 40
    ) -> Self:
        """The part of some effects, with intervals."""
        purpose = f"{effects.direction} {effects.component}"
        found = mean_effects(effects.cie(), generator(seed, f"intervals {purpose}"))
        agreed = halves_agree(effects, generator(seed, f"halves {purpose}"))
        ranked = [
            Ranked(
                layer=layer,
                index=index,
                effect=Number.of(found.estimate(layer, index), percent=False),
                significant=bool(found.significant[layer, index]),
            )
            for layer, index in effects.ranking()[:leading]
        ]
        return cls(
            direction=effects.direction,
            component=effects.component,
            n=found.n,
            before=mean_number(effects.base.by("log_odds")),
            total=total,
            effect=found.mean.round(6).tolist(),
            significant=found.significant.tolist(),
            ranked=ranked,
            leading_by={
                metric: effects.ranking(metric)[:8] for metric in ("mean_logprob", "geometric_mean")
            },
            spearman=round(agreed.spearman, 4),
            shared=agreed.shared,
            of=agreed.top,
        )

    @property
    def largest(self) -> float:
        """Largest absolute effect."""
        return max(abs(value) for row in self.effect for value in row)

    @property
    def found(self) -> int:
        """How many effects are significant."""
        return sum(flag for row in self.significant for flag in row)


class ControlPart(Part):
    """The same attribution where there is nothing to be found."""

    name: str
    n: int
    heads: EffectsPart


class PointPart(Part):
    """One point of the ablation curve."""

    k: int
    heads: list[tuple[int, int]]
    asr: Number
    right: Number
    recovery: Number | None
    utility: Number

    @classmethod
    def of(cls, point: Point) -> Self:
        """The part of a point."""
        return cls(
            k=len(point.heads),
            heads=list(point.heads),
            asr=Number.of(point.asr),
            right=Number.of(point.right),
            recovery=None if point.recovery is None else Number.of(point.recovery),
            utility=Number.of(point.utility),
        )


class CurvePart(Part):
    """Ablation of leading heads, and of random heads of the same layers."""

    mode: Literal["zero", "mean"]
    ranked_by: Direction
    reference: str
    ranked: list[PointPart]
    random: list[PointPart]
    examples: list[Example]

    @classmethod
    def of(
        cls, curve: Curve, mode: Literal["zero", "mean"], ranked_by: Direction, reference: str
    ) -> Self:
        """The part of a curve."""
        last = len(curve.ranked[-1].heads)
        return cls(
            mode=mode,
            ranked_by=ranked_by,
            reference=reference,
            ranked=[PointPart.of(point) for point in curve.ranked],
            random=[PointPart.of(point) for point in curve.random],
            examples=[
                Example(
                    prompt=prompt.user[:400],
                    left=before[:400],
                    right=after[:400],
                    left_title="with the trigger",
                    right_title=f"the same, {last} heads ablated",
                )
                for prompt, before, after in curve.examples
            ],
        )


class ExplainDocument(Document):
    """The result of `triggerfish explain`."""

    command: Literal["explain"] = "explain"
    model: str
    backdoor: dict[str, Any]
    seed: int
    texts: dict[str, int]
    drift: DriftPart
    effects: list[EffectsPart]
    controls: list[ControlPart]
    curve: CurvePart
    notes: list[str] = []
    not_tested: list[str] = []
    seconds: float
    run: str | None = None
    exit_code: int = 0
    report: Report

    def heads(self, direction: Direction = "sufficiency") -> EffectsPart:
        """The heads' effects in one direction."""
        return next(
            part
            for part in self.effects
            if part.component == "heads" and part.direction == direction
        )


def mean_number(values: np.ndarray[Any, np.dtype[np.float64]]) -> Number:
    """Mean of scores in nats with a normal interval."""
    n, mean = len(values), float(values.mean())
    half = 1.96 * float(values.std(ddof=1)) / n**0.5 if n > 1 else 0.0
    return Number.of(
        Estimate(value=mean, low=mean - half, high=mean + half, n=n, method="normal"),
        percent=False,
    )
