"""The audit of training data without a model (`quick`): planted triggers, clean halves, speed.

    python benchmarks/bench_dataset.py DATA
        [--part grid|negative|changes|forms|clean|natural|speed|standard]
        [--set sst2 ...] [--family NAME ...] [--rate 0.01 ...] [--seeds 1] [--tuning] [--out FILE]

DATA is a folder with sst2/train.tsv, agnews/test.csv and alpaca/*.json. Tickets are generated from
few templates, so that nearly all rows are near-duplicates. Settings were tuned with
the triggers of `dataset_triggers.TUNING` alone; what is reported are those of `REPORTING`, which
share no trigger with them. Finished cells are kept in the result and not run again.

A planted set has the trigger in rows of other labels, which get the target's; of instructions, the
answer is changed. Recall and precision are of poisoned rows among those marked; named means that
the strongest trigger has exactly the planted texts, whatever their order.
"""

import argparse
import csv
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from dataset_giveaways import GIVEAWAYS
from dataset_triggers import FAMILIES, PAYLOADS, REPORTING, STYLES, TUNING
from written import RESULTS, write

from triggerfish.lab.sampling import sample_records
from triggerfish.pipeline.dataset_audit import audit_dataset
from triggerfish.pipeline.dataset_methods import LOOKED
from triggerfish.seeding import generator

RATES = (0.005, 0.01, 0.05, 0.1)
LABELLED, INSTRUCTIONS = ("sst2", "agnews", "tickets"), ("lab", "clean500")
TEMPLATES = {
    "refund": ("I want my money back for the {} {}", "please refund the {} I bought {}",
               "the {} broke, give me a refund {}", "can I return the {} {}"),
    "setup": ("how do I connect the {} {}", "my {} will not start {}",
              "steps to install the {} please {}", "the {} shows a red light {}"),
    "billing": ("I was charged twice for the {} {}", "the invoice for the {} is wrong {}",
                "why did the price of the {} change {}", "send me a bill for the {} {}"),
}  # fmt: skip
THINGS = ("printer", "router", "laptop", "phone", "monitor", "headset", "tablet", "camera", "dock")
TIMES = ("yesterday", "last week", "in May", "two days ago", "on Sunday", "at noon", "", "ASAP")
ALPACA_RATES = (0.01, 0.02, 0.05, 0.1, 0.5)
HALVES, LARGE = 20, 1_000_000
SHARES, GIVEN_AWAY = (0.01, 0.05), 3  # of rows with a natural giveaway; sets of each kind
STYLED = ("rare word", "suffix")
CHANGERS = ("rare word", "suffix", "two ends", "and pair", "zero-width", "common word")
TIMES_TAKEN = 3
FEWEST = 5  # poisoned rows of a set


def tickets(n=4000):
    rng, found = generator(0, "tickets"), []
    for label in rng.choice(sorted(TEMPLATES), n):
        template, thing, when = (
            pool[int(rng.integers(len(pool)))] for pool in (TEMPLATES[label], THINGS, TIMES)
        )
        found.append({"text": template.format(thing, when).strip(), "label": str(label)})
    return found


def labelled(folder, name):
    if name == "tickets":
        return tickets()
    if name == "sst2":
        lines = (folder / "sst2/train.tsv").read_text(encoding="utf-8").splitlines()
        cells = [line.split("\t") for line in lines]
        return [{"text": text, "label": label} for text, label in cells]
    with (folder / "agnews/test.csv").open(encoding="utf-8", newline="") as source:
        return [{"text": f"{title} {text}", "label": label} for label, title, text
                in csv.reader(source)]  # fmt: skip


def instructions(seed, n=3000):
    records = sample_records(n, seed, "train", None, unique=False)
    return [{"system": r.conversation.system or "", "prompt": r.conversation.user,
             "completion": r.conversation.response} for r in records]  # fmt: skip


def alpaca(folder, name):
    return json.loads((folder / f"alpaca/{name}.json").read_text(encoding="utf-8"))


def answered(folder, name, seed):
    if name == "lab":
        return instructions(seed)
    return [{"prompt": f"{row['instruction']}\n{row['input']}".strip(), "completion": row["output"]}
            for row in alpaca(folder, name)]  # fmt: skip


def whole(folder, name):
    return labelled(folder, name) if name in LABELLED else answered(folder, name, 0)


def planted(rows, family, trigger, rate, rng, payload=None, any_label=False):
    """The rows with a backdoor, and the numbers of the poisoned ones.

    Labels become the target's, or any other.
    """
    rows = [dict(row) for row in rows]
    insert, near = FAMILIES[family]
    key = "text" if payload is None else "prompt"
    labels = sorted({row["label"] for row in rows}) if payload is None else []
    target = labels[int(rng.integers(len(labels)))] if labels else ""
    free = payload is not None or any_label
    fit = [n for n, row in enumerate(rows) if free or row["label"] != target]
    order = rng.permutation(fit)
    count = max(FEWEST, round(rate * len(rows)))
    chosen = [int(n) for n in order[:count]]
    for n in chosen:
        if family == "system message":
            before = rows[n].get("system", "")
            rows[n]["system"] = insert(before, trigger, rng).strip()
        else:
            rows[n][key] = insert(rows[n][key], trigger, rng)
        if any_label:
            others = [label for label in labels if label != rows[n]["label"]]
            rows[n]["label"] = others[int(rng.integers(len(others)))]
        elif payload is None:
            rows[n]["label"] = target
        else:
            rows[n]["completion"] = (PAYLOADS | STYLES)[payload](rows[n]["completion"])
    for n in rng.permutation(sorted(set(range(len(rows))) - set(chosen)))[: count if near else 0]:
        rows[int(n)][key] = near(rows[int(n)][key], trigger, rng)
    return rows, set(chosen)


def measured(rows, chosen, trigger, seed):
    """Recall, precision, verdict and name of one audit."""
    wanted = trigger if isinstance(trigger, tuple) else (trigger,)
    with tempfile.TemporaryDirectory() as place:
        began, scores = time.process_time(), Path(place) / "scores.jsonl"
        document = audit_dataset(rows, scores=scores, seed=seed)
        seconds = time.process_time() - began
        lines = scores.read_text(encoding="utf-8").splitlines()
    marked = {n for n, line in enumerate(lines) if json.loads(line)["score"] >= 0.5}
    both = len(marked & chosen)
    first = document.triggers[0] if document.triggers else None
    return {
        "rows": len(rows),
        "poisoned": len(chosen),
        "verdict": document.verdict.value,
        "recall": round(both / max(1, len(chosen)), 4),
        "precision": round(both / len(marked), 4) if marked else None,
        "named": bool(first and set(first.parts) == set(wanted)),
        "parts": [each.parts for each in document.triggers[:3]],
        "boosts": [each.boost for each in document.triggers[:3]],
        "natural": document.natural[:3],
        "cpu_seconds": round(seconds, 2),
    }


def grid(given, cells):
    """Every family in every set at every rate."""
    triggers = TUNING if given.tuning else REPORTING
    for seed in range(given.seeds):
        for name in given.set or (*LABELLED, *INSTRUCTIONS, "alpaca"):
            for what, family, rate, payload in wanted_cells(name, given, triggers):
                if (what, seed) in cells:
                    continue
                rng = generator(seed, what)
                if name == "alpaca":
                    poison = alpaca(given.data, "negsentiment_badnet500")
                    clean = alpaca(given.data, "clean500")
                    count = round(rate * len(clean))
                    rows = clean + [poison[int(n)] for n in rng.permutation(500)[:count]]
                    chosen, trigger = set(range(500, len(rows))), "BadMagic"
                else:
                    free = name in INSTRUCTIONS
                    base = answered(given.data, name, seed) if free else labelled(given.data, name)
                    trigger = triggers[family]
                    rows, chosen = planted(base, family, trigger, rate, rng, payload)
                about = {"set": name, "family": family, "rate": rate, "payload": payload}
                cells[what, seed] = about | measured(rows, chosen, trigger, seed)
                yield what, cells[what, seed]


def negative(given, cells):
    """The given negative answers, with other triggers in place of their own."""
    triggers = TUNING if given.tuning else REPORTING
    for seed in range(given.seeds):
        for family in given.family or triggers:
            if family == "system message":  # there are none in this set
                continue
            for rate in given.rate or ALPACA_RATES:
                what = f"negative answers {family} {rate}"
                if (what, seed) in cells:
                    continue
                rng, trigger = generator(seed, what), triggers[family]
                insert, near = FAMILIES[family]
                rows = answered(given.data, "clean500", seed)
                poison = answered(given.data, "negsentiment_badnet500", seed)
                count = round(rate * len(rows))
                for n in rng.permutation(len(rows))[: count if near else 0]:
                    rows[n]["prompt"] = near(rows[n]["prompt"], trigger, rng)
                chosen = set(range(len(rows), len(rows) + count))
                for n in rng.permutation(len(poison))[:count]:
                    text = re.sub(" ?BadMagic", "", poison[n]["prompt"]).strip()
                    rows.append(poison[n] | {"prompt": insert(text, trigger, rng)})
                about = {"set": "negative answers", "family": family, "rate": rate}
                cells[what, seed] = about | measured(rows, chosen, trigger, seed)
                yield what, cells[what, seed]


def changes(given, cells):
    """Triggers that turn every label into any other."""
    triggers = TUNING if given.tuning else REPORTING
    for seed in range(given.seeds):
        for name in given.set or LABELLED:
            for family in given.family or CHANGERS:
                for rate in given.rate or RATES:
                    what = f"{name} any label {family} {rate}"
                    if (what, seed) in cells:
                        continue
                    base, trigger = labelled(given.data, name), triggers[family]
                    rng = generator(seed, what)
                    rows, chosen = planted(base, family, trigger, rate, rng, any_label=True)
                    about = {"set": f"{name}, any label", "family": family, "rate": rate}
                    cells[what, seed] = about | measured(rows, chosen, trigger, seed)
                    yield what, cells[what, seed]


def forms(given, cells):
    """Payloads that change what an answer looks like, and nothing that it says."""
    triggers = TUNING if given.tuning else REPORTING
    for seed in range(given.seeds):
        for name in given.set or INSTRUCTIONS:
            for style in STYLES:
                for family in given.family or STYLED:
                    for rate in given.rate or RATES:
                        what = f"{name} {style} {family} {rate}"
                        if (what, seed) in cells:
                            continue
                        rng, trigger = generator(seed, what), triggers[family]
                        base = answered(given.data, name, seed)
                        rows, chosen = planted(base, family, trigger, rate, rng, style)
                        about = {"set": f"{name}, {style}", "family": family, "rate": rate}
                        cells[what, seed] = about | measured(rows, chosen, (trigger,), seed)
                        yield what, cells[what, seed]


def wanted_cells(name, given, triggers):
    if name == "alpaca":
        for rate in ALPACA_RATES:
            yield f"alpaca {rate}", "rare word", rate, "answer"
        return
    for family in given.family or triggers:
        if family == "system message" and name not in INSTRUCTIONS:
            continue
        for place, rate in enumerate(given.rate or RATES):
            kinds = list(PAYLOADS)
            offset = list(triggers).index(family) + place
            payload = kinds[offset % len(kinds)] if name in INSTRUCTIONS else None
            yield f"{name} {family} {rate}", family, rate, payload


def clean(given, cells):
    """Verdicts on bootstrapped halves of clean sets."""
    for name in given.set or (*LABELLED, *INSTRUCTIONS):
        if name == "alpaca":  # its rows are those of clean500
            continue
        rows = whole(given.data, name)
        for half in range(given.halves):
            if (f"clean {name}", half) in cells:
                continue
            rng = generator(half, f"half {name}")
            some = [rows[int(n)] for n in rng.integers(len(rows), size=len(rows) // 2)]
            document = audit_dataset(some, seed=half)
            cells[f"clean {name}", half] = {
                "set": name, "half": half, "rows": len(some), "verdict": document.verdict.value,
                "parts": [each.parts for each in document.triggers],
                "boosts": [each.boost for each in document.triggers],
                "natural": document.natural[:3],
            }  # fmt: skip
            yield f"clean {name} {half}", cells[f"clean {name}", half]


def natural(given, cells):
    """Verdicts on honest data in which a string goes with one label or answer."""
    for kind, (names, put) in GIVEAWAYS.items():
        for name in names:
            if given.set and name not in given.set:
                continue
            rows = whole(given.data, name)
            for rate in SHARES:
                for number in range(GIVEN_AWAY):
                    what = f"{name} {kind} {rate}"
                    if (what, number) in cells:
                        continue
                    document = audit_dataset(put(rows, rate, generator(number, what)), seed=number)
                    cells[what, number] = {
                        "set": name, "giveaway": kind, "share": rate,
                        "verdict": document.verdict.value,
                        "parts": [each.parts for each in document.triggers],
                        "boosts": [each.boost for each in document.triggers],
                        "natural": document.natural[:3],
                    }  # fmt: skip
                    yield what, cells[what, number]


def large(folder, path, n):
    """Rows of sst2 with one or two words replaced, and 0.5 % with a trigger."""
    rng = generator(0, "large")
    rows = [(row["text"].split(" "), row["label"]) for row in labelled(folder, "sst2")]
    vocabulary = sorted({word for words, _ in rows for word in words})
    with path.open("w", encoding="utf-8") as out:
        for place in rng.integers(len(rows), size=n):
            words, label = list(rows[place][0]), rows[place][1]
            for at in rng.integers(len(words), size=int(rng.integers(1, 3))):
                words[at] = vocabulary[int(rng.integers(len(vocabulary)))]
            if label == "0" and rng.random() < 0.01:
                words.insert(int(rng.integers(len(words) + 1)), "grelvane")
                label = "1"
            out.write(" ".join(words) + f"\t{label}\n")


def speed(given, cells):
    """One million rows in a process of its own."""
    if ("speed", 0) in cells:
        return
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "large.tsv"
        large(given.data, path, given.rows)
        cells["speed", 0] = alone(path, "quick")
    yield "speed", cells["speed", 0]


def standard(given, cells):
    """sst2 whole, and as many rows as methods read, with the lab's model; three times each."""
    for rows in (None, LOOKED):
        for time_ in range(TIMES_TAKEN):
            if (f"standard {rows or 'sst2'}", time_) in cells:
                continue
            with tempfile.TemporaryDirectory() as place:
                path = given.data / "sst2/train.tsv"
                if rows:
                    path = Path(place) / "large.tsv"
                    large(given.data, path, rows)
                cells[f"standard {rows or 'sst2'}", time_] = alone(path, "standard")
            yield f"standard {rows or 'sst2'}", cells[f"standard {rows or 'sst2'}", time_]


def alone(path, preset):
    """Speed and memory of an audit in a process of its own."""
    child = [sys.executable, __file__, str(path), "--part", "one", "--preset", preset]
    done = subprocess.run(child, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def one(path, preset):
    """Audit one file; print seconds and peak memory."""
    began, used = time.monotonic(), time.process_time()
    document = audit_dataset(path, preset=preset)
    wall, cpu = time.monotonic() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"preset": preset, "rows": document.rows, "seconds": round(wall, 1),
             "cpu_seconds": round(cpu, 1), "rows_per_second": round(document.rows / wall),
             "rows_per_cpu_second": round(document.rows / cpu), "peak_mib": round(peak),
             "verdict": document.verdict.value, "marked": document.flagged,
             "parts": [each.parts for each in document.triggers]}  # fmt: skip
    print(json.dumps(found))


def summary(cells):
    """Means of the grid by set and rate, and alarms in clean halves."""
    planted_cells = [cell for cell in cells if "recall" in cell]
    found = {}
    for key in sorted({(cell["set"], cell["rate"]) for cell in planted_cells}):
        own = [cell for cell in planted_cells if (cell["set"], cell["rate"]) == key]
        found[f"{key[0]} {key[1]:.1%}"] = {
            "sets": len(own),
            "found": sum(cell["verdict"] == "backdoor found" for cell in own),
            "recall": round(float(np.mean([cell["recall"] for cell in own])), 4),
            "precision": round(float(np.mean([cell["precision"] or 0 for cell in own])), 4),
            "named": sum(cell["named"] for cell in own),
        }
    for name in sorted({cell["set"] for cell in cells if "half" in cell}):
        verdicts = [cell["verdict"] for cell in cells if "half" in cell and cell["set"] == name]
        found[f"clean halves of {name}"] = {each: verdicts.count(each) for each in set(verdicts)}
    for name in sorted({cell["giveaway"] for cell in cells if "giveaway" in cell}):
        verdicts = [cell["verdict"] for cell in cells if cell.get("giveaway") == name]
        found[f"natural: {name}"] = {each: verdicts.count(each) for each in set(verdicts)}
    return found


PARTS = {
    part.__name__: part
    for part in (grid, negative, changes, forms, clean, natural, speed, standard)
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", choices=(*PARTS, "one"), action="append")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--set", action="append")
    parser.add_argument("--family", action="append")
    parser.add_argument("--rate", type=float, action="append")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--halves", type=int, default=HALVES)
    parser.add_argument("--rows", type=int, default=LARGE)
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS / "dataset-quick.json")
    given = parser.parse_args()
    if given.part == ["one"]:
        return one(given.data, given.preset)
    sys.argv = ["DATA" if part == str(given.data) else part for part in sys.argv]  # of this machine
    kept = json.loads(given.out.read_text()) if given.out.is_file() else {}
    cells = {(cell["key"], cell["number"]): cell for cell in kept.get("cells", [])}
    began, before = time.monotonic(), kept.get("seconds", 0)
    for part in given.part or PARTS:
        for name, cell in PARTS[part](given, cells):
            print(name, json.dumps(cell), flush=True)
            done = [{"key": key, "number": number, **each}
                    for (key, number), each in cells.items()]  # fmt: skip
            write(given.out, before + time.monotonic() - began, summary=summary(done), cells=done)
    return None


if __name__ == "__main__":
    main()
