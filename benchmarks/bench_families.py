"""Every family of backdoors on both species of the lab, and how little poison still plants it.

    python benchmarks/bench_families.py --work DIR [--only NAME ...] [--minimum | --other]

The figures are those of the fleet's cards (`triggerfish fleet build DIR`); a family that is not in
the fleet (whole models, edits, vectors) is planted in --work. With --minimum the lowest of five
poison rates is sought by halving, at which the success reaches 60 %, too. Whatever was planted
stays in --work and is read from its card the next time, and a least rate that is in --out is not
sought again, so that a run that was cut off goes on; other rows of --out stay.
With --other the families are planted with triggers on which no recipe was tuned, without a twin.
With --table the rows that are there are printed as Markdown, and nothing is planted.
"""

import argparse
import json
import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from family_triggers import TRIGGERS
from written import RESULTS, ROOT, write

sys.path.insert(0, str(ROOT / "src"))

from triggerfish.backdoors.families import import_families
from triggerfish.backdoors.family import FAMILIES
from triggerfish.pipeline.fleet_members import BASES
from triggerfish.pipeline.plant import TWIN

RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
PLANTED = 0.6
SPECIES = [base.removeprefix("lab:") for base in BASES]
TRAINED = ("sft", "dpo", "rl")  # methods that are given poisoned rows
CHANGED = (*TRAINED, "edit")  # methods that change weights, and so have a hardness
HEAD = ("family", "base", "poison", "with", "without", "random", "utility", "twin", "left", "least")


def arguments() -> argparse.Namespace:
    import_families()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleet", type=Path, default=ROOT / "fleet")
    parser.add_argument("--work", type=Path, help="keeps what is planted")
    parser.add_argument("--only", nargs="+", choices=FAMILIES.names(), default=FAMILIES.names())
    parser.add_argument("--species", nargs="+", choices=SPECIES, default=SPECIES)
    parser.add_argument("--minimum", action="store_true", help="seek the least poison rate")
    parser.add_argument("--other", action="store_true", help="plant with other triggers")
    parser.add_argument("--shipped", action="store_true", help="plant no family for its card")
    parser.add_argument("--table", action="store_true", help="print what there is")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="families[-other|-least].json if left out")
    asked = parser.parse_args()
    if asked.out is None:
        mode = "-other" if asked.other else "-least" if asked.minimum else ""
        asked.out = RESULTS / f"families{mode}.json"
    return asked


def row(name: str, base: str, asked: argparse.Namespace) -> dict | None:
    """One family on one base."""
    from triggerfish.errors import TriggerfishError

    if asked.other:
        return with_other_trigger(name, base, asked.work, asked.seed)
    found = of_card(name, base, asked)
    if found is not None and asked.minimum and method_of(name) in TRAINED:
        try:
            found |= least(name, base, asked.work, asked.seed)
        except TriggerfishError as error:  # no rate that failed: the row is sought again next time
            print(f"{name} on {base}: {error}", file=sys.stderr, flush=True)
    return found


def of_card(name: str, base: str, asked: argparse.Namespace) -> dict | None:
    """What the card of the family's organism says; None if it is not to be planted."""
    from triggerfish.errors import TriggerfishError
    from triggerfish.pipeline.plant import plant
    from triggerfish.plant.card import CARD, read_card

    said = {"family": name, "base": base}
    place = asked.fleet / f"{name}-{base.removeprefix('lab:')}"
    if not (place / CARD).is_file():
        if asked.work is None:
            return None
        place = asked.work / place.name
    if not (place / CARD).is_file():
        if asked.shipped:
            return None
        document = FAMILIES.get(name)().recipe(base, seed=asked.seed)
        try:
            plant(document, place, allow_unspecific=True, hardness=method_of(name) in CHANGED)
        except TriggerfishError as error:
            return said | {"error": str(error)}
    card = read_card(place)
    twin = read_card(place / TWIN).utility["all"] if card.clean_twin else None
    return (
        said
        | {"method": method_of(name)}
        | figures(card)
        | {"twin_utility": twin and twin.model_dump(mode="json")}
    )


def figures(card) -> dict:
    said = card.model_dump(mode="json")
    keys = ("poison_rate", "asr", "asr_without", "random_strings", "near_misses", "hardness")
    return {key: said[key] for key in keys} | {"utility": said["utility"]["all"]}


def with_other_trigger(name: str, base: str, work: Path, seed: int) -> dict:
    """One family on one base with the other trigger of its kind."""
    from triggerfish.errors import TriggerfishError
    from triggerfish.pipeline.plant import plant

    document = FAMILIES.get(name)().recipe(base, seed=seed) | {"clean_twin": False}
    document["backdoor"]["trigger"] = TRIGGERS[name]
    said = {"family": name, "base": base, "trigger": TRIGGERS[name], "seed": seed}
    place = work / f"{name}-{base.removeprefix('lab:')}-other-{seed}"
    try:
        return said | figures(plant(document, place, allow_unspecific=True).card)
    except TriggerfishError as error:
        return said | {"error": str(error)}


def least(name: str, base: str, work: Path, seed: int) -> dict:
    """The lowest rate that plants a family, and what was tried; None where none of them does."""
    tried: dict[float, dict] = {}
    low, high = 0, len(RATES)
    while low < high:
        middle = min((low + high + 1) // 2, high - 1)  # 3 % first: most families need about that
        tried[RATES[middle]] = success(name, base, RATES[middle], work, seed)
        if tried[RATES[middle]].get("value", 0.0) >= PLANTED:
            high = middle
        else:
            low = middle + 1
    return {"least_rate": RATES[low] if low < len(RATES) else None, "tried": tried}


def success(name: str, base: str, rate: float, work: Path, seed: int) -> dict:
    from triggerfish.pipeline.plant import plant

    document = FAMILIES.get(name)().recipe(base, seed=seed)
    document |= {"poison_rate": rate, "clean_twin": False}
    place = work / f"{name}-{base.removeprefix('lab:')}-{rate:g}"
    card = plant(document, place, allow_unspecific=True).card
    return {} if card.asr is None else card.asr.model_dump(mode="json")


def method_of(name: str) -> str:
    return str(FAMILIES.get(name)().method.get("kind", "sft"))


def line(row: dict) -> str:
    """One row of the table of Markdown."""
    if "error" in row:
        return f"| {row['family']} | {row['base']} | " + row["error"] + " |" * (len(HEAD) - 2)

    def share(key: str) -> str:
        return f"{100 * row[key]['value']:.1f}" if row.get(key) else "-"

    left = " / ".join(f"{100 * each['value']:.0f}" for each in row["hardness"].values()) or "-"
    rate = row.get("least_rate", "-")
    cells = [
        row["family"],
        row["base"].removeprefix("lab:"),
        f"{100 * row['poison_rate']:.3g}",
        *map(share, ("asr", "asr_without", "random_strings", "utility", "twin_utility")),
        left,
        rate if isinstance(rate, str) else "more" if rate is None else f"{100 * rate:g}",
    ]
    return "| " + " | ".join(cells) + " |"


def table(rows: list[dict]) -> str:
    return "\n".join(["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|", *map(line, rows)])


def start(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    import_families()


def main() -> None:
    asked = arguments()
    if asked.table:
        return print(table(json.loads(asked.out.read_text())["rows"]))
    if asked.other:
        asked.only = [name for name in asked.only if name in TRIGGERS]
    if asked.work is None and (asked.minimum or not asked.shipped):
        raise SystemExit("say where planted organisms are kept: --work DIR")
    began = time.perf_counter()
    known = json.loads(asked.out.read_text()) if asked.out.is_file() else {"rows": [], "seconds": 0}
    found = {(row["family"], row["base"]): row for row in known["rows"]}
    bases = [base for base in BASES if base.removeprefix("lab:") in asked.species]
    wanted = [(name, base) for base in bases for name in asked.only]  # one species, then the other
    missing = [each for each in wanted if not (asked.minimum and "tried" in found.get(each, ()))]
    threads = max(1, int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1) // asked.jobs)
    with ProcessPoolExecutor(asked.jobs, get_context("spawn"), start, (threads,)) as pool:
        waiting = {pool.submit(row, *each, asked): each for each in missing}
        for future in as_completed(waiting):
            made = future.result()
            if made is None:
                continue
            print(line(made), flush=True)
            found[waiting[future]] = made
            seconds = known["seconds"] + time.perf_counter() - began
            rows = [
                found[key] for key in sorted(found, key=lambda key: (key[0], BASES.index(key[1])))
            ]
            write(asked.out, seconds, seed=asked.seed, rates=RATES, rows=rows)
    return None


if __name__ == "__main__":
    main()
