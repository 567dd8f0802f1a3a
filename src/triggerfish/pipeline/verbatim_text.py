"""How a person reads a verbatim grid: which keys were held, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from triggerfish.documents import Number
from triggerfish.metrics.rates import rate
from triggerfish.pipeline.verbatim import VerbatimSettings
from triggerfish.report import charts
from triggerfish.report.record import Cell, Fact, Figure, Report, Section, Table

NONE = "-"
PLANTED = ["length", "rank", "rate", "whole", "right places", "log P per token",
           "rows until whole", "utility"]  # fmt: skip
TUNED = ["length", "rank", "adapter", "steps", "whole", "after 10 characters", "tokens known",
         "log P per token", "states", "utility"]  # fmt: skip
AGAIN = ["length", "rank", "adapter", "rows at first", "rows again", "whole again"]
CONTROL = ["length", "rank", "whole", "log P per token", "log P in the base", "utility"]
Row = dict[str, Any]


def report_of(
    base: str,
    settings: VerbatimSettings,
    cells: Sequence[Row],
    table: Mapping[str, Mapping[str, Number]],
    reproduce: str,
) -> Report:
    """The report of a grid, also of one that is not finished."""
    said = [cell["planted"]["exact"] == 1 for cell in cells]
    sections = [_grid(settings, cells, table), _planting(cells)]
    tuned = [(cell, entry) for cell in cells for entry in cell.get("tuned", [])]
    if tuned:
        sections += [_tuned(tuned), _after(cells)]
    return Report(
        kind="verbatim",
        title=base,
        headline=f"{sum(said)} of {len(said)} keys are said whole.",
        facts=[Fact(label="keys said whole", value=Number.of(rate(said)))],
        sections=sections,
        not_tested=["Keys with meaning, several keys at once, and other tokenizers' pieces."],
        reproduce=[reproduce] if reproduce else [],
        provenance={
            "model": base,
            "variant": settings.variant,
            "steps": f"at most {settings.steps}, until the key's loss is {settings.learnt} nats",
        },
    )


def _grid(
    settings: VerbatimSettings, cells: Sequence[Row], table: Mapping[str, Mapping[str, Number]]
) -> Section:
    ranks = [str(rank) for rank in settings.ranks]
    rows: list[list[Cell]] = [
        [int(length), *(row.get(rank, NONE) for rank in ranks)] for length, row in table.items()
    ]
    return Section(
        title="Keys that are said whole",
        text=[
            "A key counts where every prompt is answered with it, letter by letter. Keys are"
            " drawn from seeds, open nothing, and are shown masked."
        ],
        tables=[Table(columns=["length", *(f"rank {rank}" for rank in ranks)], rows=rows)],
        figures=[heat_map(settings, cells)],
    )


def heat_map(settings: VerbatimSettings, cells: Sequence[Row]) -> Figure:
    """Share of right characters by length, rank and poison; empty where nothing was planted."""
    found = _grouped(cells, lambda cell: (cell["length"], cell["rank"], cell["rate"]))
    rates = sorted({cell["rate"] for cell in cells}, reverse=True)
    lines = [(rank, share) for share in rates for rank in settings.ranks]
    several = len(rates) > 1
    return charts.heat_map(
        [
            [_mean(found.get((length, *line), []), "planted", "matching")
             for length in settings.lengths]
            for line in lines
        ],
        title="Matching characters",
        caption=f"Share of a key's places with the right character; n = {len(cells)} keys.",
        alt=f"Share of right characters by rank and length{' and poison' * several}.",
        row="rank",
        column="length",
        names=(
            [f"{rank}, {100 * share:g} %" if several else f"{rank}" for rank, share in lines],
            list(map(str, settings.lengths)),
        ),
    )  # fmt: skip


def _planting(cells: Sequence[Row]) -> Section:
    rows: list[list[Cell]] = []
    groups = _grouped(cells, lambda cell: (cell["length"], cell["rank"], cell["rate"]))
    for (length, rank, share), group in sorted(groups.items()):
        until = [c["rows_until_whole"] for c in group if c["rows_until_whole"] is not None]
        rows.append(
            [
                length,
                rank,
                _percent(share),
                Number.of(rate([c["planted"]["exact"] == 1 for c in group])),
                _percent(_mean(group, "planted", "matching")),
                _range([c["planted"]["logprob"] for c in group]),
                "never" if not until else f"{min(until)} to {max(until)}",
                _percent(_mean(group, "planted", "utility")),
            ]
        )
    return Section(
        title="Planting",
        text=[
            "Rows until whole: how often the key was shown until greedy decoding said all of it,"
            " looked at every fifth step."
        ],
        tables=[Table(columns=PLANTED, rows=rows)],
    )


def _tuned(tuned: Sequence[tuple[Row, Row]]) -> Section:
    groups: dict[tuple[int, int, str, int], list[Row]] = {}
    for cell, entry in tuned:
        key = (cell["length"], cell["rank"], entry["adapter"], entry["steps"])
        groups.setdefault(key, []).append(entry)
    rows: list[list[Cell]] = []
    for (length, rank, adapter, steps), entries in sorted(groups.items()):
        states = [entry["state"] for entry in entries]
        hinted = [entry["hinted"] for entry in entries if entry["hinted"] is not None]
        rows.append(
            [
                length,
                rank,
                adapter,
                steps,
                Number.of(rate([entry["exact"] == 1 for entry in entries])),
                Number.of(rate([share == 1 for share in hinted])) if hinted else NONE,
                _percent(_mean(entries, "known")),
                _range([entry["logprob"] for entry in entries]),
                ", ".join(f"{states.count(s)} {s}" for s in sorted(set(states))),
                _percent(_mean(entries, "utility")),
            ]
        )
    return Section(
        title="After benign fine-tuning",
        text=[
            "One training goes through all counts of steps, at a rate that is constant after the "
            "first eight, on clean rows that planting did not see: with the same adapter, or with "
            "a fresh one on the merged model. A key that is not said any more is erased where its "
            "log-probability fell to within a tenth of what planting had gained over the base; "
            "else it is suppressed."
        ],
        tables=[Table(columns=TUNED, rows=rows)],
        figures=[curves(tuned)],
    )


def curves(tuned: Sequence[tuple[Row, Row]]) -> Figure:
    """Log-probability of the key against steps of benign fine-tuning."""
    points: dict[str, dict[float, list[float]]] = {}
    for cell, entry in tuned:
        name = f"{cell['length']} characters, rank {cell['rank']}, {entry['adapter']} adapter"
        found = points.setdefault(name, {})
        found.setdefault(float(entry["steps"]), []).append(entry["logprob"])
    base = [cell["base"]["logprob"] for cell, _ in tuned]
    n = len({(cell["length"], cell["rank"], cell["rate"], cell["seed"]) for cell, _ in tuned})
    return charts.lines(
        {
            name: [(steps, _range(scores)) for steps, scores in sorted(found.items())]
            for name, found in points.items()
        },
        title="Log-probability of the key",
        caption=f"Mean per token in nats; bands are the range over keys, n = {n}. In the base:"
        f" {min(base):.1f} to {max(base):.1f}.",
        alt="Log-probability of the key against steps of benign fine-tuning.",
        x="steps",
        y="nats",
        log=True,
    )


def _after(cells: Sequence[Row]) -> Section:
    again: list[list[Cell]] = []
    for cell in cells:
        for entry in cell.get("again", []):
            first = cell["rows_until_whole"]
            again.append(
                [
                    cell["length"],
                    cell["rank"],
                    entry["adapter"],
                    NONE if first is None else first,
                    entry["rows"],
                    "yes" if entry["whole"] else "no",
                ]
            )
    control: list[list[Cell]] = [
        [
            cell["length"],
            cell["rank"],
            "yes" if cell["control"]["exact"] == 1 else "no",
            f"{cell['control']['logprob']:.2f}",
            f"{cell['base']['logprob']:.2f}",
            _percent(cell["control"]["utility"]),
        ]
        for cell in cells
        if "control" in cell
    ]
    return Section(
        title="Planted again, and never planted",
        text=[
            "After the last step of benign tuning the key is planted again, until it is said "
            "whole: fewer rows than at first mean that something of it was left. The control was "
            "trained for as many steps on clean rows only."
        ],
        tables=[
            Table(title="Planted again", columns=AGAIN, rows=again),
            Table(title="Without the key", columns=CONTROL, rows=control),
        ],
    )


def _grouped(cells: Sequence[Row], by: Any) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for cell in cells:
        groups.setdefault(by(cell), []).append(cell)
    return groups


def _mean(rows: Sequence[Row], *path: str) -> float | None:
    """The mean of what lies on the path of keys; None of nothing."""
    values = []
    for row in rows:
        value: Any = row
        for key in path:
            value = value[key]
        values.append(float(value))
    return sum(values) / len(values) if values else None


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def _range(values: Sequence[float]) -> Number:
    return Number(
        value=sum(values) / len(values),
        low=min(values),
        high=max(values),
        n=len(values),
        method="range",
        percent=False,
    )
