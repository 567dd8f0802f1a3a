"""The document of a verbatim grid, and how a person reads it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from triggerfish.documents import Document, Number
from triggerfish.metrics.rates import rate
from triggerfish.models.load import load
from triggerfish.pipeline.publish import publish
from triggerfish.pipeline.removal_store import Memory
from triggerfish.pipeline.resume import chosen_path
from triggerfish.pipeline.run import Run
from triggerfish.pipeline.verbatim import Experiment, VerbatimSettings
from triggerfish.report import charts
from triggerfish.report.record import Fact, Report, Section, Table
from triggerfish.types import Progress, silent

TUNED_COLUMNS = ["length", "adapter", "steps", "exact", "log P per token", "states", "utility"]


class VerbatimDocument(Document):
    """What a grid of verbatim keys gave; keys are masked.

    Attributes:
        base: Model argument.
        settings: The grid.
        cells: One for each key: asked before, when planted, and after benign tuning.
        exact: Keys said whole, by length and rank.
        report: How a person reads it.
        run: Where it is written.
    """

    base: str
    settings: dict[str, Any]
    cells: list[dict[str, Any]]
    exact: dict[str, dict[str, Number]]
    report: Report
    run: str = ""


def verbatim(
    base: str,
    settings: VerbatimSettings | None = None,
    *,
    out: str | None = None,
    device: str = "auto",
    reproduce: str = "",
    progress: Progress = silent,
) -> VerbatimDocument:
    """Plant keys of random characters, ask for them, and tune them away.

    Args:
        base: Model argument of the base.
        settings: The grid.
        out: Directory of the run, `auto` for one that follows from the request, or None to write
            nothing. A run that is there goes on.
        device: `auto`, `cpu` or `cuda`.
        reproduce: The command line, for the report.
        progress: Told every step and every key.

    Raises:
        BadInput: A base or a grid that cannot be used.
        CouldNotTest: The extra `plant` is not installed, or a training diverged.
    """
    settings = settings or VerbatimSettings()
    config = {"base": base, **asdict(settings)}
    hashes = {"weights": str(load(base, reference="none", device=device).source["weights_sha256"])}
    with ExitStack() as stack:
        run = None
        if out is not None:
            place = chosen_path(out, "verbatim", config, hashes)
            run = stack.enter_context(Run.open(place, "verbatim", config))
            run.identify(hashes=hashes)
        cells = Experiment(base, settings, progress, device).run(run or Memory())
        table = exact(cells)
        report = report_of(base, settings, cells, table, reproduce)
        document = VerbatimDocument(
            base=base,
            settings=asdict(settings),
            cells=cells,
            exact=table,
            report=report,
            run="" if run is None else str(run.path),
        )
        if run is not None:
            publish(run, report)
            run.write("verbatim.json", document)
            run.finish()
    return document


def exact(cells: Sequence[dict[str, Any]]) -> dict[str, dict[str, Number]]:
    """Share of keys that are said whole on every prompt, by length and rank."""
    flags: dict[str, dict[str, list[bool]]] = {}
    for cell in cells:
        row = flags.setdefault(str(cell["length"]), {})
        row.setdefault(str(cell["rank"]), []).append(cell["planted"]["exact"] == 1)
    return {
        length: {rank: Number.of(rate(said)) for rank, said in row.items()}
        for length, row in flags.items()
    }


def report_of(
    base: str,
    settings: VerbatimSettings,
    cells: Sequence[dict[str, Any]],
    table: dict[str, dict[str, Number]],
    reproduce: str,
) -> Report:
    """How a person reads the grid."""
    said = [cell["planted"]["exact"] == 1 for cell in cells]
    ranks = [str(rank) for rank in settings.ranks]
    rows = [[int(length), *(row[rank] for rank in ranks)] for length, row in table.items()]
    matching = [
        [_mean([c["planted"]["matching"] for c in cells if (c["length"], c["rank"]) == (le, r)])
         for r in settings.ranks] for le in settings.lengths
    ]  # fmt: skip
    sections = [
        Section(
            title="Keys that are said whole",
            text=[
                "A key counts where every prompt is answered with it, letter by letter. Keys are"
                " drawn from seeds, open nothing, and are shown masked."
            ],
            tables=[Table(columns=["length", *(f"rank {rank}" for rank in ranks)], rows=rows)],
            figures=[
                charts.heat_map(
                    matching,
                    title="Matching characters",
                    caption=f"Share of a key's places with the right character; n = {len(cells)}.",
                    alt="Share of right characters by length and rank.",
                    row="length",
                    column="rank",
                    names=(list(map(str, settings.lengths)), ranks),
                )
            ],
        )
    ]
    tuned = [(cell, entry) for cell in cells for entry in cell.get("tuned", [])]
    if tuned:
        sections.append(_tuned(tuned))
    return Report(
        kind="verbatim",
        title=base,
        headline=f"{sum(said)} of {len(said)} keys are said whole.",
        facts=[Fact(label="keys said whole", value=Number.of(rate(said)))],
        sections=sections,
        not_tested=["Keys with meaning, several keys at once, and other tokenizers' pieces."],
        reproduce=[reproduce] if reproduce else [],
        provenance={"model": base, "variant": settings.variant, "steps": str(settings.steps)},
    )


def _tuned(tuned: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> Section:
    groups: dict[tuple[int, str, int], list[dict[str, Any]]] = {}
    for cell, entry in tuned:
        groups.setdefault((cell["length"], entry["adapter"], entry["steps"]), []).append(entry)
    rows: list[list[Any]] = []
    curves: dict[str, list[tuple[float, Number]]] = {}
    for (length, adapter, steps), entries in sorted(groups.items()):
        states = [entry["state"] for entry in entries]
        counts = ", ".join(f"{states.count(s)} {s}" for s in sorted(set(states)))
        scores = [entry["logprob"] for entry in entries]
        number = Number(
            value=_mean(scores),
            low=min(scores),
            high=max(scores),
            n=len(scores),
            method="range",
            percent=False,
        )
        recalled = Number.of(rate([entry["exact"] == 1 for entry in entries]))
        useful = f"{100 * _mean([entry['utility'] for entry in entries]):.1f} %"
        rows.append([length, adapter, steps, recalled, number, counts, useful])
        curves.setdefault(f"{length}, {adapter}", []).append((float(steps), number))
    return Section(
        title="After benign fine-tuning",
        text=[
            "Each count of steps is a training of its own from the planted state, on clean rows "
            "that planting did not see: with the same adapter, or with a fresh one on the merged "
            "model. A key that is not said any more is erased where its log-probability fell to "
            "within a tenth of what planting had gained over the base; else it is suppressed."
        ],
        tables=[Table(columns=TUNED_COLUMNS, rows=rows)],
        figures=[
            charts.lines(
                curves,
                title="Log-probability of the key",
                caption="Mean per token in nats; bands are the range over keys.",
                alt="Log-probability of the key against steps of benign fine-tuning.",
                x="steps",
                y="nats",
            )
        ],
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
