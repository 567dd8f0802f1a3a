"""How a person reads an explanation: pictures of drift, heads and ablation, with their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from triggerfish.documents import Number
from triggerfish.explain.effects import COMPONENTS, DIRECTIONS, Component, Direction
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.explain_document import (
    ControlPart,
    CurvePart,
    DriftPart,
    EffectsPart,
    LayerPart,
    PointPart,
)
from triggerfish.report import charts
from triggerfish.report.record import Cell, Fact, Figure, Report, Section, Table

PANELS = 6
LEADING = 10
GONE = 0.1
"""Attack success of a point of the ablation curve from which little is left of the attack."""
WORDS: dict[Direction, str] = {
    "sufficiency": "Put into clean runs",
    "necessity": "Taken out of triggered runs",
}


def report_of(document: Mapping[str, Any], suspect: Suspect, reproduce: str) -> Report:
    """The report of an explanation.

    Args:
        document: the fields of an `ExplainDocument` but the report.
        suspect: for the provenance.
        reproduce: the command line.
    """
    effects: list[EffectsPart] = document["effects"]
    heads = {part.direction: part for part in effects if part.component == "heads"}
    curve: CurvePart = document["curve"]
    best = heads["sufficiency"].ranked[0]
    facts = [
        Fact(label="log-odds without the trigger", value=heads["sufficiency"].before),
        Fact(label="log-odds with it", value=heads["necessity"].before),
        Fact(
            label="strongest single head",
            value=best.effect,
            note=f"layer {best.layer}, head {best.index}",
        ),
        Fact(
            label=f"attack success, {telling(curve).k} heads ablated",
            value=telling(curve).asr,
            note=f"before: {curve.ranked[0].asr.text()}",
        ),
    ]
    return Report(
        kind="explain",
        title=document["model"],
        headline=headline(heads["sufficiency"], curve),
        summary=list(document["notes"]),
        facts=facts,
        sections=[
            _drift(document["drift"]),
            _heads(heads),
            _components(effects),
            _controls(document["controls"], heads["sufficiency"]),
            _curve(curve),
        ],
        not_tested=list(document["not_tested"]),
        reproduce=[reproduce] if reproduce else [],
        provenance={
            "model": suspect.name,
            "weights (sha256)": str(suspect.source.get("weights_sha256")),
            "seed": str(document["seed"]),
        },
    )


def headline(heads: EffectsPart, curve: CurvePart) -> str:
    """One or two sentences: how concentrated the backdoor is, and what ablation does."""
    best, total = heads.ranked[0], heads.total
    share = ""
    if total is not None and abs(total.value) > 0:
        share = f", {100 * best.effect.value / total.value:.0f} % of what the trigger does"
    before, after = curve.ranked[0], telling(curve)
    chance = next((p for p in curve.random if p.k == after.k), None)
    others = f" (random heads: {100 * chance.asr.value:.0f} %)" if chance else ""
    lost = 100 * (before.utility.value - after.utility.value)
    return (
        f"The strongest single head (layer {best.layer}, head {best.index}) moves the log-odds by"
        f" {best.effect.value:+.1f}{share}. Ablating the leading {after.k} heads takes attack"
        f" success from {100 * before.asr.value:.0f} % to {100 * after.asr.value:.0f} %{others} and"
        f" costs {lost:.0f} points of utility."
    )


def telling(curve: CurvePart) -> PointPart:
    """The first point of the curve at which little is left of the attack, or its end."""
    gone = (point for point in curve.ranked if point.asr.value <= GONE)
    return next(gone, curve.ranked[-1])


def _drift(drift: DriftPart) -> Section:
    count = len(drift.layers)
    shown = sorted({round(i * (count - 1) / (PANELS - 1)) for i in range(PANELS)})
    panels = [_panel(drift.layers[layer]) for layer in shown]
    n = drift.layers[0].size.n
    curves = charts.lines(
        {
            "probe": [(float(part.layer), part.probe) for part in drift.layers],
            "one direction": [(float(part.layer), _share(part.alignment)) for part in drift.layers],
            "probe, wrong trigger": [(float(part.layer), part.probe) for part in drift.wrong],
            "one direction, wrong trigger": [
                (float(part.layer), _share(part.alignment)) for part in drift.wrong
            ],
        },
        title="How far the trigger can be told, by layer",
        caption=f"Probe: held-out texts told apart by a linear probe (split by text). One"
        f" direction: mean cosine of a text's drift with the mean drift of the others. n = {n}.",
        alt=f"Probe at the last layer: {drift.layers[-1].probe.text()};"
        f" with a wrong trigger: {drift.wrong[-1].probe.text()}.",
        x="layer",
        y="share",
    )
    rows: list[list[Cell]] = [
        [part.layer, part.size, part.alignment, part.probe, wrong.size, wrong.alignment]
        for part, wrong in zip(drift.layers, drift.wrong, strict=True)
    ]
    return Section(
        title="Drift of the last prompt token",
        text=[
            "The residual stream of the same texts with and without the trigger. A wrong trigger"
            " of the same shape moves it too, so both are shown: what matters is the difference.",
        ],
        figures=[*panels, curves],
        tables=[
            Table(
                title="Drift by layer",
                columns=[
                    "layer",
                    "size",
                    "one direction",
                    "probe",
                    "size, wrong trigger",
                    "one direction, wrong trigger",
                ],
                rows=rows,
                note="Size: length of the mean difference over the mean length of the state.",
            )
        ],
    )


def _share(number: Number) -> Number:
    return number.model_copy(
        update={
            "percent": True,
            "low": max(0.0, number.low),
            "value": max(0.0, number.value),
            "high": max(0.0, number.high),
        }
    )


def _panel(part: LayerPart) -> Figure:
    return charts.scatter(
        {"without": part.clean, "with the trigger": part.triggered},
        title=f"After layer {part.layer}",
        caption=f"First two principal components, {100 * part.explained:.0f} % of the variance.",
        alt=f"{len(part.clean)} texts after layer {part.layer}; a linear probe tells"
        f" {part.probe.text()} of held-out ones apart.",
        height=220,
    )


def _heads(heads: Mapping[Direction, EffectsPart]) -> Section:
    figures, tables = [], []
    for direction, part in heads.items():
        frames = [
            (i, j) for i, row in enumerate(part.significant) for j, flag in enumerate(row) if flag
        ]
        best = part.ranked[0]
        figures.append(
            charts.heat_map(
                part.effect,
                title=f"Heads: {WORDS[direction].lower()}",
                caption=f"Mean change of the log-odds of the target against the right answer (nats)"
                f" when one head at the last prompt token takes its mean of the other runs."
                f" Framed: {part.found} heads that differ from 0 (Bonferroni). n = {part.n}.",
                alt=f"Strongest: layer {best.layer}, head {best.index}: {best.effect.text()}.",
                frames=frames,
                unit="nats",
            )
        )
        rows: list[list[Cell]] = [
            [f"{r.layer}.{r.index}", r.effect, "yes" if r.significant else "no"]
            for r in part.ranked[:LEADING]
        ]
        total = "" if part.total is None else f" The whole trigger: {part.total.text()}."
        tables.append(
            Table(
                title=WORDS[direction],
                columns=["layer.head", "effect (nats)", "differs from 0"],
                rows=rows,
                note=f"Ranked again on the other half of the texts: {part.shared} of the first"
                f" {part.of} are the same, rank correlation {part.spearman:.2f}.{total}",
            )
        )
    return Section(
        title="Attention heads",
        text=[
            "Every head is replaced on its own by its mean over the triggered texts while the model"
            " reads clean ones (left: does it bring the behaviour?), and the reverse (right: does"
            " its absence take it away?). The numbers are exact, not estimates from gradients."
        ],
        figures=figures,
        tables=tables,
    )


def _components(effects: Sequence[EffectsPart]) -> Section:
    parts: dict[tuple[Direction, Component], EffectsPart] = {
        (p.direction, p.component): p for p in effects if p.component != "heads"
    }
    columns = ["layer"]
    chosen = []
    for direction in DIRECTIONS:
        for kind in COMPONENTS:
            part = parts.get((direction, kind))
            if part is not None:
                columns.append(f"{kind}, {WORDS[direction].lower()}")
                chosen.append(part)
    count = len(effects[0].effect)
    by_layer = [{r.layer: r.effect for r in part.ranked} for part in chosen]
    rows: list[list[Cell]] = [
        [layer, *(table.get(layer) for table in by_layer)] for layer in range(count)
    ]
    return Section(
        title="Attention, MLPs and whole layers",
        text=[
            "The same for all heads of a layer together, for the output of its MLP, and for the"
            " whole residual stream after it (nats)."
        ],
        tables=[Table(columns=columns, rows=rows)] if chosen else [],
        folded=True,
    )


def _controls(controls: Sequence[ControlPart], heads: EffectsPart) -> Section:
    rows: list[list[Cell]] = [["this model, its trigger", heads.n, _round(heads), heads.found]]
    rows += [[c.name, c.n, _round(c.heads), c.heads.found] for c in controls]
    return Section(
        title="Where there should be nothing",
        text=["The same attribution on a model or with a trigger that has no backdoor."],
        tables=[
            Table(
                columns=["run", "texts", "largest effect of a head (nats)", "heads above chance"],
                rows=rows,
                note="A wrong trigger and a clean model may have small true effects: any inserted"
                " string changes probabilities a little.",
            )
        ],
    )


def _round(part: EffectsPart) -> float:
    return round(part.largest, 3)


def _curve(curve: CurvePart) -> Section:
    def along(points: Sequence[Any], field: str) -> list[tuple[float, Number]]:
        pairs = [(float(place), getattr(point, field)) for place, point in enumerate(points)]
        return [(x, _share(number)) for x, number in pairs if number is not None]

    series = {
        "attack success": along(curve.ranked, "asr"),
        "attack success, random heads": along(curve.random, "asr"),
        "recovery": along(curve.ranked, "recovery"),
        "utility": along(curve.ranked, "utility"),
    }
    steps = ", ".join(str(point.k) for point in curve.ranked)
    first, last = curve.ranked[0], curve.ranked[-1]
    figure = charts.lines(
        {name: points for name, points in series.items() if points},
        title="Ablation of the leading heads",
        caption=f"k = {steps} heads set to {curve.mode} at the last prompt token, on"
        f" {first.asr.n} test texts; ranked on other texts. Recovery against {curve.reference}.",
        alt=f"Attack success from {first.asr.text()} to {last.asr.text()}; utility from"
        f" {first.utility.text()} to {last.utility.text()}.",
        x=f"step (k = {steps})",
        y="share",
    )
    columns = ["k", "attack success", "random heads", "recovery", "right answers", "utility",
               "utility, random heads"]  # fmt: skip
    rows: list[list[Cell]] = [
        [a.k, a.asr, b.asr, a.recovery, a.right, a.utility, b.utility]
        for a, b in zip(curve.ranked, curve.random, strict=True)
    ]
    return Section(
        title="Ablation",
        text=[
            "Attack success may fall although the answers stay wrong, and heads that serve"
            " everything cost utility when they go: read the columns together."
        ],
        figures=[figure],
        tables=[Table(columns=columns, rows=rows)],
        examples=list(curve.examples),
    )
