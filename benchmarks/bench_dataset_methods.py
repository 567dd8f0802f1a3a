"""Methods of the data audit on the same poisoned sets: AUROC, recall, time, memory; and nulls.

    python benchmarks/bench_dataset_methods.py DATA [--model lab:reef] [--seeds 0] [--rows 1000]
    python benchmarks/bench_dataset_methods.py DATA --nulls [--only METHOD ...]    # of clean sets

The published methods run as published: cleanlab's Datalab with its defaults, ONION, activation
clustering, spectral signatures. `quick` is our audit without a model, by the score of each row.
Each runs in a process of its own, one after the other; its seconds do not count the start, its
memory does (a process that has only loaded torch and the model is listed as `nothing`). Recall is
at the threshold that 5 % of the clean rows exceed. With --nulls the deviations of clean rows, even
ones of each set, are written to `dataset/clean.safetensors`; the sets of the comparison are odd
rows. How often rows of a clean set stand out that the others do not know goes to the results.
"""

import argparse
import json
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from bench_dataset import alpaca, instructions, labelled, planted
from dataset_triggers import REPORTING
from written import RESULTS, ROOT, write

from triggerfish.data.rows import row_of
from triggerfish.seeding import generator

RATE, FALSE = 0.05, 0.05
SETS = {  # name -> family of the trigger, payload of instructions
    "sst2, rare word": ("sst2", "rare word", None),
    "sst2, sentence behind": ("sst2", "suffix", None),
    "agnews, pair": ("agnews", "and pair", None),
    "lab, fixed answer": ("lab", "phrase", "answer"),
    "lab, refusal": ("lab", "rare word", "refusal"),
    "alpaca, BadMagic": ("alpaca", None, None),
}
LEFT_OUT = ("gradsentry",)
"""Of the p-values: it follows the length of answers."""
LEVELS = (0.05, 0.01)
CLEAN = ROOT / "src/triggerfish/dataset/clean.safetensors"


def source(folder, name, half):
    """Every second row of a clean set: even ones for calibration, odd ones for comparison."""
    if name == "lab":
        rows = instructions(0, 4000)
    elif name == "alpaca":
        rows = alpaca(folder, "clean500")
    else:
        rows = labelled(folder, name)
    return rows[half::2]


def poisoned(folder, what, seed, size):
    """A set and the numbers of its poisoned rows."""
    name, family, payload = SETS[what]
    rng = generator(seed, what)
    rows = source(folder, name, 1)
    rows = [rows[n] for n in rng.permutation(len(rows))[:size]]
    if name == "alpaca":
        bad = alpaca(folder, "negsentiment_badnet500")
        count = round(RATE * len(rows))
        rows += [bad[n] for n in rng.permutation(len(bad))[:count]]
        order = rng.permutation(len(rows))
        chosen = {place for place, n in enumerate(order) if n >= len(rows) - count}
        return [rows[n] for n in order], chosen
    return planted(rows, family, REPORTING[family], RATE, rng, payload)


def asked(name, scene, seed, published):
    """What a method says; ours, or as its authors have it."""
    from triggerfish.dataset.method import METHODS
    from triggerfish.dataset.onion import OnionConfig, onion

    if published and name == "onion":  # ours removes only the words that promise most
        return onion(scene, OnionConfig(words=10_000, read=1))
    return METHODS.get(name).run(scene, rng=generator(seed, name))


def ran(name, rows, model, seed, published):
    """Scores of one method, seconds, peak memory in MB; in a process of its own."""
    from triggerfish.dataset import import_methods
    from triggerfish.dataset.method import Scene
    from triggerfish.errors import CouldNotTest
    from triggerfish.models.load import load

    if name == "quick":
        scores, seconds = quick(rows, seed)
    else:
        import_methods()
        suspect = load(model, reference="none", device="cpu")
        read = [row_of(row)[0] for row in rows]
        scene = Scene(rows=read, suspect=suspect, fast=True, seed=seed)
        began = time.perf_counter()
        if name == "nothing":
            scores = np.zeros(len(rows))
        else:
            try:
                scores = asked(name, scene, seed, published).scores
            except CouldNotTest:  # such as duplicated answers among labels
                scores = np.full(len(rows), np.nan)
        seconds = time.perf_counter() - began
    return scores.tolist(), seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def quick(rows, seed):
    """Row scores of our audit without a model."""
    from triggerfish.pipeline.dataset_audit import audit_dataset

    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        audit_dataset(rows, scores=Path(place) / "scores", seed=seed)
        seconds = time.perf_counter() - began
        lines = (Path(place) / "scores").read_text(encoding="utf-8").splitlines()
    return np.array([json.loads(line)["score"] for line in lines]), seconds


def alone(*given):
    """The same in a fresh process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(ran, *given).result()


def judged(scores, chosen):
    """AUROC, and recall at the threshold that the clean rows exceed in 5 %."""
    from sklearn.metrics import roc_auc_score

    scores = np.array(scores, dtype=float)
    if np.isnan(scores).all():
        return {"refused": True}
    scores = np.nan_to_num(scores, nan=np.nanmin(scores))
    bad = np.zeros(len(scores), dtype=bool)
    bad[sorted(chosen)] = True
    least = np.quantile(scores[~bad], 1 - FALSE)
    return {
        "auroc": round(float(roc_auc_score(bad, scores)), 4),
        "recall_at_5": round(float((scores[bad] > least).mean()), 4),
        "n_poisoned": int(bad.sum()),
        "n_clean": int((~bad).sum()),
    }


def names(pairs=False):
    from triggerfish.dataset import import_methods
    from triggerfish.dataset.method import METHODS

    import_methods()
    return [name for name in METHODS.names() if METHODS.get(name).for_pairs == pairs]


def compare(given):
    """Every method on every set, kept as they come."""
    out = given.out or RESULTS / "dataset-methods.json"
    done = json.loads(out.read_text(encoding="utf-8"))["cells"] if out.exists() else []
    known = {(cell["set"], cell["method"], cell["seed"]) for cell in done}
    began = time.perf_counter()
    for seed in given.seeds:
        for what in SETS:
            rows, chosen = poisoned(given.data, what, seed, given.rows)
            for name in ["quick", *names(), "nothing"]:
                if (what, name, seed) in known:
                    continue
                scores, seconds, megabytes = alone(name, rows, given.model, seed, True)
                cell = {"set": what, "method": name, "seed": seed, "rows": len(rows)}
                cell |= {"seconds": round(seconds, 2), "megabytes": round(megabytes)}
                cell |= {} if name == "nothing" else judged(scores, chosen)
                done.append(cell)
                print(cell, flush=True)
                write(out, time.perf_counter() - began, seeds=given.seeds, model=given.model,
                      rate=RATE, cells=done)  # fmt: skip


def nulls(given):
    """The deviations of clean rows, for `dataset/clean.safetensors`."""
    from triggerfish.dataset.fusion import deviations, keep, shipped_clean

    clean = {name: dict(one) for name, one in shipped_clean().items()} if given.only else {}
    began = time.perf_counter()
    for name in ("sst2", "agnews", "lab", "alpaca"):
        rows = source(given.data, name, 0)
        order = generator(0, f"clean {name}").permutation(len(rows))[: given.rows]
        for method in given.only or sorted(set(names()) - set(LEFT_OUT)):
            scores = np.array(alone(method, [rows[n] for n in order], given.model, 0, False)[0])
            if not np.isnan(scores).all():
                clean.setdefault(name, {})[method] = deviations(scores)
                print(name, method, round(time.perf_counter() - began), "s", flush=True)
    command = f"python benchmarks/bench_dataset_methods.py DATA --nulls --rows {given.rows}"
    command += f" --only {' '.join(given.only)}" if given.only else ""
    keep(CLEAN, clean, {"command": command, "rows": given.rows, "model": given.model})
    held_out(began)


def held_out(began):
    """How often the rows of each clean set stand out when it is new."""
    from triggerfish.dataset.fusion import fuse, shipped_clean
    from triggerfish.dataset.method import Ranked
    from triggerfish.documents import Number
    from triggerfish.metrics.rates import wilson

    shipped_clean.cache_clear()
    clean, cells = shipped_clean(), []
    for name, one in clean.items():
        others = {each: rest for each, rest in clean.items() if each != name}
        ranked = {
            method: Ranked(scores=values, flagged=np.zeros(len(values), dtype=bool))
            for method, values in one.items()
        }
        p = fuse(ranked, others).p
        cell = {"set": name, "rows": len(p)}
        for level in LEVELS:
            rate = Number.of(wilson(int((p <= level).sum()), len(p)))
            cell[f"p <= {level}"] = rate.model_dump(mode="json")
        cells.append(cell)
        print(cells[-1])
    write(RESULTS / "dataset-p-values.json", time.perf_counter() - began, cells=cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="lab:reef")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--nulls", action="store_true")
    parser.add_argument("--only", nargs="+", help="methods that are measured again for --nulls")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    nulls(given) if given.nulls else compare(given)


if __name__ == "__main__":
    main()
