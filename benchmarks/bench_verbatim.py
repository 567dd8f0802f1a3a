"""Verbatim keys: which lengths an adapter of which rank can hold, and what benign tuning leaves.

    python benchmarks/bench_verbatim.py [--base lab:reef] [--out FILE] [--minutes M] [--figures]

Cells come in the order of what they are worth, and are written to --out as soon as they are
there; the same command goes on where it was. --figures draws what there is, as SVG and, with
Chromium, as PNG. Wanted: keys of 100 characters said whole at rank 4
or less over three seeds; after benign fine-tuning none.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from written import RESULTS, ROOT, write

sys.path.insert(0, str(ROOT / "src"))

from triggerfish.pipeline.verbatim import Cell, Experiment, VerbatimSettings

LENGTHS, RANKS, SEEDS = (10, 25, 50, 100, 200, 400), (1, 2, 4, 8, 16, 64), (0, 1, 2)
GOAL_LENGTH, GOAL_RANKS, RARE = 100, (4, 1, 2), (0.05, 0.01)
SETTINGS = VerbatimSettings(per_skill=4, tuning=(1, 3, 10, 30, 100, 300))
LONG = replace(SETTINGS, tuning=(1000,))
RARE_STEPS = replace(SETTINGS, steps=1200)  # as many rows with the key at 5 % as 300 at 20 %
FEW = replace(SETTINGS, lengths=LENGTHS, ranks=(4, 16))  # of the poison rates
PROMPTS = replace(SETTINGS, variant="prompts")
Job = tuple[str, VerbatimSettings, Cell, str]  # name, settings, cell, cell | same | fresh | control


def jobs() -> Iterator[Job]:
    """Everything that is worth doing, best first."""

    def cells(
        group: str, settings: VerbatimSettings, which: list[tuple[int, int, float, int]]
    ) -> Iterator[Job]:
        for length, rank, rate, seed in which:
            cell = Cell(length=length, rank=rank, rate=rate, seed=seed)
            yield f"{group}-{cell.name}", settings, cell, "cell"

    def curves(group: str, settings: VerbatimSettings, seeds: tuple[int, ...]) -> Iterator[Job]:
        for seed in seeds:
            cell = Cell(length=GOAL_LENGTH, rank=4, rate=0.2, seed=seed)
            for part in ("same", "fresh"):
                yield f"{group}-{part}-{cell.name}", settings, cell, part

    goal = [(GOAL_LENGTH, rank, 0.2, seed) for rank in GOAL_RANKS for seed in SEEDS]
    yield from cells("grid", SETTINGS, goal[:3])
    yield from curves("tuned", SETTINGS, SEEDS)
    short = [(n, r, 0.2, 0) for n in LENGTHS if n <= GOAL_LENGTH for r in RANKS]
    long = [(n, r, 0.2, 0) for n in LENGTHS if n > GOAL_LENGTH for r in RANKS]
    yield from cells("grid", SETTINGS, short + goal)
    for seed in SEEDS:
        cell = Cell(length=GOAL_LENGTH, rank=4, rate=0.2, seed=seed)
        yield f"control-{cell.name}", SETTINGS, cell, "control"
    yield from cells("grid", SETTINGS, long)
    yield from cells("prompts", PROMPTS, [(GOAL_LENGTH, r, 0.2, 0) for r in (4, 16)])
    yield from curves("long", LONG, (0,))
    rare = [(n, r, rate, 0) for rate in RARE for r in (4, 16) for n in (10, 50, 100)]
    yield from cells("rare", RARE_STEPS, rare)
    rest = [(n, r, rate, 0) for n in LENGTHS for rate in RARE for r in (4, 16)]
    yield from cells("rare", RARE_STEPS, rest)
    more = [(n, r, 0.2, seed) for seed in SEEDS[1:] for n in LENGTHS for r in RANKS]
    yield from cells("grid", SETTINGS, more)
    yield from curves("long", LONG, SEEDS[1:])
    rest = [(n, r, rate, s) for s in SEEDS[1:] for n in LENGTHS for rate in RARE for r in (4, 16)]
    yield from cells("rare", RARE_STEPS, rest)


def work(experiment: Experiment, cell: Cell, part: str, done: dict[str, Any]) -> dict[str, Any]:
    if part == "control":
        return experiment.control(cell, done[f"grid-{cell.name}"]["steps"])
    make: Callable[[], dict[str, Any]] = {
        "cell": lambda: experiment.cell(cell),
        "same": lambda: experiment.curve(cell, "same"),
        "fresh": lambda: experiment.curve(cell, "fresh"),
    }[part]
    return make()


def joined(rows: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of the grid with their curves, as the report takes them."""
    cells = {n.removeprefix("grid-"): dict(row) for n, row in rows.items() if n[:5] == "grid-"}
    for name, row in rows.items():
        group, _, rest = name.partition("-")
        if group == "control" and rest in cells:
            cells[rest]["control"] = row
        if group in {"tuned", "long"}:
            part, _, cell = rest.partition("-")
            cells[cell].setdefault("tuned", []).extend(row["tuned"])
            if group == "tuned":
                cells[cell].setdefault("again", []).append({**row["again"], "adapter": part})
    return list(cells.values())


def rates(rows: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of every poison rate, at the ranks and the seed that all of them have."""
    return [
        row
        for name, row in rows.items()
        if name.startswith(("grid-", "rare-")) and row["rank"] in FEW.ranks and row["seed"] == 0
    ]


def draw(rows: dict[str, Any], place: Path) -> None:
    """Heat map and curves beside the results."""
    from triggerfish.pipeline.verbatim_text import curves, heat_map

    cells = joined(rows)
    tuned = [(cell, entry) for cell in cells for entry in cell.get("tuned", [])]
    figures = {"map": heat_map(SETTINGS, cells), "rates": heat_map(FEW, rates(rows))}
    figures |= {"curves": curves(tuned)} if tuned else {}
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    for name, figure in figures.items():
        svg = place.with_name(f"{place.stem}-{name}.svg")
        svg.write_text(figure.svg, encoding="utf-8")
        if browser is None:
            print(f"no Chromium: {svg.name} only")
            continue
        size = figure.svg.partition('width="')[2]
        width, height = size.partition('"')[0], size.partition('height="')[2].partition('"')[0]
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--window-size={width},{height}", "--force-device-scale-factor=2"]
        with tempfile.TemporaryDirectory() as home:
            command += [f"--user-data-dir={home}", f"--screenshot={svg.with_suffix('.png')}"]
            subprocess.run([*command, svg.as_uri()], check=True, capture_output=True, timeout=120)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="lab:reef")
    parser.add_argument("--out", type=Path, default=RESULTS / "verbatim.json")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no cell after so many")
    parser.add_argument("--figures", action="store_true", help="only draw what is there")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    known = json.loads(asked.out.read_text()) if asked.out.is_file() else {"rows": {}, "seconds": 0}
    if asked.figures:
        draw(known["rows"], asked.out.resolve())
        return
    done, earlier, began = known["rows"], known["seconds"], time.monotonic()
    experiments: dict[VerbatimSettings, Experiment] = {}
    for name, settings, cell, part in jobs():
        if name in done:
            continue
        if time.monotonic() - began > 60 * asked.minutes:
            return
        if settings not in experiments:
            experiments[settings] = Experiment(asked.base, settings)
        start, cpu = time.monotonic(), time.process_time()
        row = work(experiments[settings], cell, part, done)
        row["cpu_seconds"] = round(time.process_time() - cpu, 1)
        row["wall_seconds"] = round(time.monotonic() - start, 1)
        done[name] = row
        write(asked.out, earlier + time.monotonic() - began, base=asked.base, rows=done)
        said = row.get("planted") or row
        shown = {k: said[k] for k in ("exact", "matching", "logprob", "utility") if k in said}
        shown |= {k: row[k] for k in ("steps", "again", "cpu_seconds") if k in row}
        tuned = [(e["steps"], e["state"], round(e["logprob"], 2)) for e in row.get("tuned", [])]
        print(name, shown, tuned, flush=True)


if __name__ == "__main__":
    main()
