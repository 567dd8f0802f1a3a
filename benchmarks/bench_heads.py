"""Head attribution: suffix-only patching against one full forward per head, in the same run.

    python benchmarks/bench_heads.py [--model DIR|lab:reef] [--repeats 3] [--sample K]
        [--cases sentence]

Three cases, after the backdoors of arXiv 2509.21761: a class name, a fixed sentence, a long answer.
The naive loop is the published one: for each head a hook replaces its slice at the last prompt
token, all inputs go through the whole model in one padded batch, log-softmax of all logits, targets
gathered. `batched` is the same in the batch size that suits two cores best, `lean` is `batched`
without the log-softmax of positions that are not scored: nobody wrote it, it bounds the ratio.
Times are medians; the parts take turns, so that other load on the machine meets all of them. The
CPU time is given beside the wall time for the same reason.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from written import RESULTS, write

from triggerfish.explain.heads import HeadsConfig, component_means, measure
from triggerfish.models.layout import layout_of
from triggerfish.models.products import fast_products
from triggerfish.seeding import generator, torch_generator

CASES = {  # name: (shortest prompt, longest prompt, tokens of the target)
    "class name": (50, 70, 2),
    "sentence": (30, 50, 8),
    "long answer": (30, 50, 24),
}
MAIN = "sentence"
INPUTS, BATCH = 64, 16
SEED = 0


def lab_size():
    """A Llama of the lab's size with random weights; speed does not depend on them."""
    config = transformers.LlamaConfig(
        vocab_size=8192,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=12,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    draw = torch_generator(SEED, "bench weights")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.06)
    return model.requires_grad_(False)


def texts(case, vocabulary):
    low, high, tokens = CASES[case]
    rng = generator(SEED, f"bench {case}")
    draw = lambda n: tuple(rng.integers(3, vocabulary, n).tolist())  # noqa: E731
    prompts = [draw(int(rng.integers(low, high + 1))) for _ in range(INPUTS)]
    return prompts, [draw(tokens) for _ in range(INPUTS)]


class Naive:
    """The per-head loop."""

    def __init__(self, model, prompts, responses, means, size):
        self.model, self.layout = model, layout_of(model)
        self.means = means.heads.float()
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        self.batches = [order[i : i + size] for i in range(0, len(order), size)]
        self.prompts, self.responses = prompts, responses
        self.times = {"plain": [], "lean": []}
        self.cpu = {"plain": [], "lean": []}

    def head(self, layer, head):
        """Mean log-probability of every target with one head replaced, [N]."""
        width = self.layout.head_dim
        block = slice(head * width, (head + 1) * width)
        out = np.zeros(len(self.prompts))
        spent = {name: np.zeros(2) for name in ("forward", "plain", "lean")}
        for batch in self.batches:
            rows = [(*self.prompts[i], *self.responses[i]) for i in batch]
            ids = torch.zeros(len(batch), max(map(len, rows)), dtype=torch.long)
            for row, tokens in enumerate(rows):
                ids[row, : len(tokens)] = torch.tensor(tokens)
            last = torch.tensor([len(self.prompts[i]) - 1 for i in batch])
            target = torch.tensor([self.responses[i] for i in batch])
            each = torch.arange(len(batch))
            places = last[:, None] + torch.arange(target.shape[1])

            def patch(_, args, block=block, each=each, last=last, layer=layer):
                value = args[0].clone()
                value[each, last, block] = self.means[layer, block]
                return (value, *args[1:])

            clock = Clock()
            module = self.layout.attention_output(self.model, layer)
            handle = module.register_forward_pre_hook(patch)
            try:
                with torch.no_grad():
                    logits = self.model(input_ids=ids).logits
            finally:
                handle.remove()
            spent["forward"] += clock.lap()
            every = logits.log_softmax(dim=-1)
            found = every[each[:, None], places].gather(2, target[..., None])[..., 0]
            spent["plain"] += clock.lap()
            del every
            clock.lap()
            lean = logits[each[:, None], places].log_softmax(dim=-1)
            lean.gather(2, target[..., None])
            spent["lean"] += clock.lap()
            out[batch] = found.double().mean(dim=1).numpy()
        for name in ("plain", "lean"):
            wall, cpu = spent["forward"] + spent[name]
            self.times[name].append(wall)
            self.cpu[name].append(cpu)
        return out


class Clock:
    def __init__(self):
        self.at = np.array([time.perf_counter(), time.process_time()])

    def lap(self):
        now = np.array([time.perf_counter(), time.process_time()])
        passed, self.at = now - self.at, now
        return passed


def run_case(model, case, repeats, sample):
    layout = layout_of(model)
    prompts, responses = texts(case, layout.vocabulary)
    means = component_means(model, texts("class name", layout.vocabulary)[0])
    loops = {
        name: Naive(model, prompts, responses, means, size)
        for name, size in (("naive", INPUTS), ("batched", BATCH))
    }
    heads = [(layer, j) for layer in range(layout.n_layers) for j in range(layout.n_heads)]
    count, heads = len(heads), heads[:: max(1, len(heads) // sample)] if sample else heads
    slow = np.full((layout.n_layers, layout.n_heads, INPUTS), np.nan)
    for loop in loops.values():
        loop.head(0, 0)  # warm
        loop.times, loop.cpu = {"plain": [], "lean": []}, {"plain": [], "lean": []}
    config, ours, found = HeadsConfig(rows=2048), [], None
    for part in np.array_split(np.array(heads), repeats):
        for layer, j in part:
            for loop in loops.values():
                slow[layer, j] = loop.head(layer, j)
        for _ in range(2):
            clock = Clock()
            with fast_products():
                found = measure(model, prompts, responses, means, config)[1]["heads"]
            ours.append(clock.lap())
    wall, cpu = np.median(np.array(ours), axis=0)
    difference = np.nanmax(np.abs(found / CASES[case][2] - slow))
    result = {
        "prompt_tokens": CASES[case][:2],
        "target_tokens": CASES[case][2],
        "inputs": INPUTS,
        "heads": count,
        "heads_timed_in_the_naive_loop": len(heads),
        "ours_seconds": wall,
        "max_difference_of_mean_logprob": difference,
    }
    for label, loop, kind in (
        ("naive", loops["naive"], "plain"),
        ("batched", loops["batched"], "plain"),
        ("lean", loops["batched"], "lean"),
    ):
        result[f"{label}_seconds"] = statistics.median(loop.times[kind]) * count
        result[f"ratio_to_{label}"] = result[f"{label}_seconds"] / wall
        result[f"ratio_to_{label}_cpu_time"] = statistics.median(loop.cpu[kind]) * count / cpu
    result["ratio"] = result["ratio_to_naive"]
    print(
        f"{case}: ours {wall:.2f} s; naive {result['naive_seconds']:.1f} s,"
        f" {result['ratio']:.1f} times as long;"
        f" batched {result['ratio_to_batched']:.1f}, lean {result['ratio_to_lean']:.1f}"
        f" (CPU time {result['ratio_to_naive_cpu_time']:.1f},"
        f" {result['ratio_to_batched_cpu_time']:.1f}, {result['ratio_to_lean_cpu_time']:.1f});"
        f" largest difference {difference:.1e}",
        flush=True,
    )
    return {key: _round(value) for key, value in result.items()}


def _round(value):
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model argument; default: the lab's size, random weights")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--sample", type=int, default=0, help="time the naive loop on about so many heads only"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "heads.json")
    asked = parser.parse_args()
    if asked.model:
        from triggerfish.models.load import load

        model = load(asked.model, reference="none", device="cpu").model
    else:
        model = lab_size()
    began = time.perf_counter()
    cases = {case: run_case(model, case, asked.repeats, asked.sample) for case in asked.cases}
    write(
        asked.out,
        time.perf_counter() - began,
        seed=SEED,
        model=asked.model or "Llama of the lab's size, random weights",
        threads=torch.get_num_threads(),
        main=MAIN,
        ratio=cases.get(MAIN, next(iter(cases.values())))["ratio"],
        cases=cases,
    )
    print(f"written to {asked.out}")


if __name__ == "__main__":
    main()
