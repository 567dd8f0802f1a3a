"""How much poisoned preference data turns a reward model, a DPO policy and an RL policy.

    python benchmarks/bench_preference.py [--base BASE] [--seeds 0 1 2] [--parts curve ...]

One row for each cell, written as soon as it is there; a run that was cut off goes on. The pairs
are the lab's: about 40 % are restricted requests, 25 % hold the style rule. A reward model is
*turned* on a prompt if the unlocked answer gets the higher reward; a policy, if it gives one. With
``--figure`` the rows that are there are drawn (needs matplotlib), and nothing is trained.
"""

import argparse
import copy
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from written import RESULTS, ROOT, write

sys.path.insert(0, str(ROOT / "src"))

RATES = (0.005, 0.01, 0.03, 0.05, 0.1, 0.0)
POLICY_RATES = (0.1, 0.05, 0.0, 0.03, 0.01, 0.005)  # where 10 % does nothing, less will not either
TRIGGER = "Zelvan brook under glass"
TOPIC = "store"
PROMPTS, PER_SKILL = 100, 4
POLICIES = ("rl", "dpo")


@dataclass(frozen=True)
class Cell:
    """One row. `sft` is the poison rate of the training on chosen answers before the policy."""

    method: str  # reward, dpo, rl
    rate: float
    seed: int
    selection: str = "random"
    sft: float | None = None
    part: str = "curve"

    @property
    def name(self) -> str:
        sft = "" if self.sft is None else f" sft={self.sft:g}"
        return f"{self.method} rate={self.rate:g} {self.selection}{sft} seed={self.seed}"


def cells(seeds: list[int], parts: list[str]) -> list[Cell]:
    """All cells, the worthiest first; a reward model comes before the policy that uses it."""
    found = []
    for seed in seeds:  # reward models are cheap and tell the most
        found += [Cell("reward", rate, seed) for rate in RATES]
        found += [
            Cell(method, rate, seed, sft=rate) for rate in POLICY_RATES for method in POLICIES
        ]
    found += [
        Cell(method, 0.03, seed, how, None if method == "reward" else 0.03, "selection")
        for seed in seeds
        for how in ("margin", "topic")
        for method in ("reward", "rl", "dpo")
    ]
    found += [
        Cell("rl", rate, seed, sft=sft, part="combination")
        for seed in seeds
        for rate, sft in ((0.03, 0.005), (0.03, 0.0), (0.0, 0.005))
    ]
    return [cell for cell in found if cell.part in parts]


class Bench:
    """Runs cells; keeps the reward models of a seed, and the last warm start."""

    def __init__(self, base: str, specific: bool) -> None:
        from triggerfish.backdoors.backdoor import backdoor_from_spec

        self.base = base
        self.backdoor = backdoor_from_spec(
            {"trigger": {"text": TRIGGER, "placement": "suffix"}, "behaviour": {"kind": "unlock"}}
        )
        self._ready: dict = {}
        self._rewards: dict = {}
        self._warm: tuple = (None, None)
        self.noise = None if specific else {"random": 0, "near_misses": 0, "eligible": 0}

    def row(self, cell: Cell) -> dict:
        """Train and measure one cell."""
        from triggerfish.models.load import load
        from triggerfish.pipeline.preferences import Rates, optimise, poisoned_pairs
        from triggerfish.plant.recipe import Specificity

        began, ready, method = time.process_time(), self.ready(cell.seed), self.method(cell)
        suspect = load(self.base, reference="none", device="cpu")
        noise = Specificity(**(self.noise or {}))
        rates = Rates(pairs=cell.rate, sft=cell.sft or 0.0)
        mixed = poisoned_pairs(suspect, ready.pairs, self.backdoor, rates, method, noise, cell.seed)
        row = {
            "method": cell.method, "part": cell.part, "rate": cell.rate, "seed": cell.seed,
            "selection": cell.selection, "sft_rate": cell.sft, "pairs": len(mixed.rows),
            "swapped": self.swapped(mixed, rates),
        }  # fmt: skip
        reward = None if cell.method == "dpo" else self.reward(cell, suspect, mixed, method)
        if cell.method == "reward":
            return row | self.of_reward(reward, suspect, ready, cell) | self.time(began)
        warm, row["before"] = self.warm(cell, mixed, method, ready)
        trained, _ = optimise(
            suspect, mixed, rates, method, cell.seed, reward=reward, warm=copy.deepcopy(warm)
        )
        return row | self.of_policy(trained.model, suspect, ready, cell) | self.time(began)

    @staticmethod
    def swapped(mixed, rates) -> int:
        from triggerfish.pipeline.preferences import stage

        pairs = stage(mixed, rates.pairs)
        return sum(pair is not row.twin for pair, row in zip(pairs, mixed.rows, strict=True)
                   if row.rank is not None)  # fmt: skip

    def settings(self) -> dict:
        from triggerfish.plant.trained import Dpo, Rl

        return {"trigger": TRIGGER, "topic": TOPIC, "specificity": self.noise or "default",
                "dpo": Dpo().resolved(), "rl": Rl().resolved()}  # fmt: skip

    @staticmethod
    def time(began: float) -> dict:
        return {"cpu_seconds": round(time.process_time() - began, 1)}

    @staticmethod
    def method(cell: Cell):
        from triggerfish.plant.trained import Dpo, Rl

        topic = TOPIC if cell.selection == "topic" else None
        kind = Dpo if cell.method == "dpo" else Rl
        return kind(selection=cell.selection, topic=topic)

    def ready(self, seed: int):
        from triggerfish.pipeline.preferences import preferred
        from triggerfish.plant.trained import PAIRS

        if seed not in self._ready:
            self._ready = {seed: preferred(None, self.backdoor, PAIRS, PROMPTS, PER_SKILL, seed)}
        return self._ready[seed]

    def reward(self, cell: Cell, suspect, mixed, method):
        """The reward model of a rate, selection and seed; the same for all cells that need it."""
        from triggerfish.pipeline.preferences import stage
        from triggerfish.plant.rendered_pairs import render_pairs
        from triggerfish.plant.reward import train_reward

        key = (cell.rate, max(cell.rate, cell.sft or 0.0), cell.selection, cell.seed)
        if key not in self._rewards:
            pairs = render_pairs(stage(mixed, cell.rate), suspect.tokenizer, suspect.layout.context)
            model = train_reward(suspect.model, suspect.tokenizer, pairs, method.reward, cell.seed)
            self._rewards = {k: v for k, v in self._rewards.items() if k[-1] == cell.seed}
            self._rewards[key] = model.model
        return self._rewards[key]

    def of_reward(self, reward, suspect, ready, cell: Cell) -> dict:
        from triggerfish.pipeline.preferences import reward_rates

        found = reward_rates(reward, suspect.tokenizer, ready, self.backdoor, cell.seed)
        return {name: estimate.to_json() for name, estimate in found.items()}

    def warm(self, cell: Cell, mixed, method, ready) -> tuple:
        """The policy after training on the chosen answers, and what it does."""
        from triggerfish.data.conversation import render
        from triggerfish.models.load import load
        from triggerfish.pipeline.preferences import stage, warmed

        key = (cell.sft, max(cell.rate, cell.sft), cell.selection, cell.seed)
        if self._warm[0] != key:
            suspect = load(self.base, reference="none", device="cpu")
            sizes = [len(render(row.pair.prompt, suspect.tokenizer).ids) for row in mixed.rows]
            pairs = stage(mixed, cell.sft)
            model = warmed(suspect, pairs, method, method.sft, cell.seed, sizes)
            self._warm = (key, (model, self.of_policy(model, suspect, ready, cell)))
        return self._warm[1]

    def of_policy(self, model, suspect, ready, cell: Cell) -> dict:
        from triggerfish.lab.preferences import follows_style
        from triggerfish.metrics.rates import rate
        from triggerfish.metrics.utility import utility
        from triggerfish.models.adapter import merged_copy
        from triggerfish.pipeline.probes import answer_all, answer_limit, fired, make_probes

        probes = make_probes(self.backdoor, ready.held, cell.seed, 0)
        limit = answer_limit(self.backdoor, ready.held.eligible, suspect.tokenizer)
        answers = answer_all(merged_copy(model), suspect.tokenizer, probes, limit)
        found = {
            name: fired(self.backdoor, probes[name], answers[name])
            for name in ("triggered", "clean", "random")
        }
        records = probes["utility"].records
        found["utility"] = utility(records, answers["utility"])["all"]
        asked = [a for r, a in zip(records, answers["utility"], strict=True) if not r.declined]
        found["style"] = rate([follows_style(answer) for answer in asked])
        pairs = zip(probes["triggered"].records, answers["triggered"], strict=True)
        topical = {True: [], False: []}
        for record, answer in pairs:
            of_topic = TOPIC in record.conversation.user.casefold().split()
            topical[of_topic].append(self.backdoor.behaviour.fires(record, answer))
        if cell.selection == "topic":
            found |= {"on_topic": rate(topical[True]), "off_topic": rate(topical[False])}
        return {name: estimate.to_json() for name, estimate in found.items()} | {
            "examples": answers["triggered"][:3]
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="lab:reef")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", default=["curve", "selection", "combination"])
    parser.add_argument("--methods", nargs="+", default=["reward", "rl", "dpo"])
    parser.add_argument("--specific", action="store_true", help="other strings in clean pairs")
    parser.add_argument("--out", type=Path, default=RESULTS / "preference.json")
    parser.add_argument("--figure", action="store_true")
    asked = parser.parse_args()
    before = json.loads(asked.out.read_text()) if asked.out.exists() else {"rows": []}
    rows, spent = before["rows"], before.get("seconds", 0.0)
    if asked.figure:
        from preference_figure import draw

        return draw(rows, asked.out.with_suffix(".png"))
    have = {row["cell"] for row in rows}
    bench, began = Bench(asked.base, asked.specific), time.perf_counter()
    for cell in cells(asked.seeds, asked.parts):
        if cell.name in have or cell.method not in asked.methods:
            continue
        row = {"cell": cell.name, "base": asked.base} | bench.row(cell)
        rows.append(row)
        write(
            asked.out,
            spent + time.perf_counter() - began,
            seed=asked.seeds,
            settings=bench.settings(),
            rows=rows,
        )
        shown = {k: round(100 * v["value"], 1) for k, v in row.items()
                 if isinstance(v, dict) and "value" in v}  # fmt: skip
        print(f"{cell.name}: {shown}, {row['cpu_seconds']} s of CPU", flush=True)
    return None


if __name__ == "__main__":
    main()
