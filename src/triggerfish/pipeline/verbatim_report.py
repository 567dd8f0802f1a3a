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
from triggerfish.pipeline.verbatim_text import report_of
from triggerfish.report.record import Report
from triggerfish.types import Progress, silent


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
