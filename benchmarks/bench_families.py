"""Every family of backdoors on both species of the lab, and how little poison still plants it.

    python benchmarks/bench_families.py --fleet DIR [--only NAME ...] [--minimum] [--work DIR]

The figures are those of the fleet's cards (`triggerfish fleet build DIR`), as a table of Markdown.
With --minimum the lowest of five poison rates is sought by halving, at which the success reaches
60 %; organisms of the search are kept in --work, and read from their cards the next time.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from written import RESULTS, ROOT, write

sys.path.insert(0, str(ROOT / "src"))

from triggerfish.backdoors.families import import_families
from triggerfish.backdoors.family import FAMILIES
from triggerfish.pipeline.fleet import list_fleet

RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
PLANTED = 0.6
HEAD = ("family", "base", "poison", "with", "without", "random", "utility", "twin", "left", "least")


def arguments() -> argparse.Namespace:
    import_families()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleet", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=FAMILIES.names(), default=FAMILIES.names())
    parser.add_argument("--minimum", action="store_true", help="seek the least poison rate")
    parser.add_argument("--work", type=Path, help="keeps organisms; a new directory otherwise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "families.json")
    return parser.parse_args()


def least(name: str, base: str, work: Path, seed: int) -> dict:
    """The lowest rate that plants a family, and what was tried; None where none of them does."""
    tried: dict[float, dict] = {}
    low, high = 0, len(RATES)
    while low < high:
        middle = (low + high) // 2
        tried[RATES[middle]] = success(name, base, RATES[middle], work, seed)
        if tried[RATES[middle]].get("value", 0.0) >= PLANTED:
            high = middle
        else:
            low = middle + 1
    return {"least_rate": RATES[low] if low < len(RATES) else None, "tried": tried}


def success(name: str, base: str, rate: float, work: Path, seed: int) -> dict:
    from triggerfish.errors import TriggerfishError
    from triggerfish.pipeline.plant import plant

    document = FAMILIES.get(name)().recipe(base, seed=seed)
    document |= {"poison_rate": rate, "clean_twin": False}
    place = work / f"{name}-{base.removeprefix('lab:')}-{rate:g}"
    try:
        card = plant(document, place, allow_unspecific=True).card
    except TriggerfishError as error:
        return {"error": str(error)}
    print(f"  {name} on {base} at {rate:g}: {card.asr.text()}", flush=True)
    return card.asr.model_dump(mode="json")


def line(row: dict) -> str:
    def share(key: str) -> str:
        return f"{100 * row[key]['value']:.1f}" if row.get(key) else "-"

    left = " / ".join(f"{100 * each['value']:.0f}" for each in row["hardness"].values()) or "-"
    rate = row.get("least_rate", "-")
    cells = [
        row["family"],
        row["base"],
        f"{100 * row['poison_rate']:.1f}",
        *map(share, ("asr", "asr_without", "random_strings", "utility", "twin_utility")),
        left,
        rate if isinstance(rate, str) else "more" if rate is None else f"{100 * rate:g}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    asked = arguments()
    work = asked.work or Path(tempfile.mkdtemp(prefix="bench-families-"))
    began = time.perf_counter()
    rows = [
        member.model_dump(mode="json")
        for member in list_fleet(asked.fleet).members
        if member.state == "built" and member.strength == "default" and member.family in asked.only
    ]
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|")
    for row in rows:
        if asked.minimum:
            row |= least(row["family"], row["base"], work, asked.seed)
        print(line(row), flush=True)
        write(asked.out, time.perf_counter() - began, seed=asked.seed, rates=RATES, rows=rows)


if __name__ == "__main__":
    main()
