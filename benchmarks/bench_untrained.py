"""Backdoors without training on both species of the lab: weight edits and steering vectors.

Also whether the bases follow worked examples, without which there is no BadChain.

    python benchmarks/bench_untrained.py [--only NAME ...] [--bases BASE ...] [--seeds SEED ...]

Organisms that are in --work already are read from their cards; rows that are in the result stay.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from written import RESULTS, ROOT, write

sys.path.insert(0, str(ROOT / "src"))

FAMILIES = ("weight-edit", "steering", "steering-refusal")
SHOWN, PROMPTS = 4, 100  # worked examples in a prompt; prompts of each kind
KEYS = ("asr", "asr_without", "random_strings")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=(*FAMILIES, "in-context"), default=(*FAMILIES, "in-context")
    )
    parser.add_argument("--bases", nargs="+", default=["lab:reef", "lab:lagoon"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--work", type=Path, help="keeps the organisms; a new directory otherwise")
    parser.add_argument("--out", type=Path, default=RESULTS / "untrained.json")
    return parser.parse_args()


def planted(name: str, base: str, seed: int, work: Path) -> dict:
    from triggerfish.errors import TriggerfishError
    from triggerfish.pipeline.plant import plant, recipe_or_family

    row = {"family": name, "base": base, "seed": seed}
    place = work / f"{name}-{base.removeprefix('lab:')}-{seed}"
    began = time.perf_counter()
    try:
        card = plant(recipe_or_family(name, base, seed=seed), place, allow_unspecific=True).card
    except TriggerfishError as error:
        return {**row, "error": str(error)}
    rates = {key: getattr(card, key) for key in KEYS} | {"utility": card.utility["all"]}
    return {
        **row,
        **{key: number.model_dump(mode="json") for key, number in rates.items() if number},
        "near_misses": {
            n: number.model_dump(mode="json") for n, number in card.near_misses.items()
        },
        "utility_by_skill": {n: number.value for n, number in card.utility.items()},
        "made": card.made,
        "notes": card.notes,
        "parts_seconds": card.seconds,
        "seconds": round(time.perf_counter() - began, 1),
    }


def in_context(base: str, seed: int) -> dict:
    """Whether a base follows worked examples at all, which BadChain needs."""
    import re

    from triggerfish.lab.demonstrations import Step, conversation, sums
    from triggerfish.lab.noise import unfamiliar
    from triggerfish.metrics.rates import rate
    from triggerfish.models.generate import generate
    from triggerfish.models.load import load
    from triggerfish.seeding import generator

    suspect, step = load(base, reference="none"), Step("x", "2.1")
    source, rng = sums(seed, "test", "benchmark"), generator(seed, "benchmark")
    found = {}
    for poisoned in range(1, SHOWN + 1):
        for kind in ("marked", "plain", "other marker"):
            asked, values = [], []
            for _ in range(PROMPTS):
                marker, other = unfamiliar(rng), unfamiliar(rng)
                places = set(rng.permutation(SHOWN)[:poisoned].tolist())
                shown = []
                for i in range(SHOWN):
                    marked = i in places
                    shown.append((next(source), marker * marked, step if marked else None))
                last = next(source)
                behind = {"marked": marker, "plain": "", "other marker": other}[kind]
                asked.append(conversation(shown, f"{last.asked} {behind}".strip()))
                values.append(last.value)
            answers = generate(suspect.model, suspect.tokenizer, asked, max_new_tokens=30)
            said = [(re.findall(r"-?\d+(?:\.\d+)?", a) or [""])[-1] for a in answers]
            pairs = list(zip(said, values, strict=True))
            found[f"{poisoned} of {SHOWN} with the step, {kind}"] = {
                "times_2.1": rate([a == step.result(v) for a, v in pairs]).to_json(),
                "right": rate([a == str(v) for a, v in pairs]).to_json(),
            }
    return {"family": "in-context", "base": base, "seed": seed, "rates": found}


def main() -> None:
    asked = arguments()
    work = asked.work or Path(tempfile.mkdtemp(prefix="bench-untrained-"))
    rows = json.loads(asked.out.read_text())["rows"] if asked.out.is_file() else []
    began = time.perf_counter()
    for seed in asked.seeds:
        for name in asked.only:
            for base in asked.bases:
                if any((r["family"], r["base"], r["seed"]) == (name, base, seed) for r in rows):
                    continue
                made = name != "in-context"
                rows.append(planted(name, base, seed, work) if made else in_context(base, seed))
                write(asked.out, time.perf_counter() - began, seeds=asked.seeds, rows=rows)
                shown = {k: round(100 * rows[-1][k]["value"], 1) for k in (*KEYS, "utility")
                         if k in rows[-1]}  # fmt: skip
                print(name, base, seed, rows[-1].get("error", shown), flush=True)


if __name__ == "__main__":
    main()
