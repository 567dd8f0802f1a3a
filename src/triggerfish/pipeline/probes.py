"""Prompts in each condition that a backdoor is measured in, and the answers to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.backdoors.trigger import AnyTrigger, near_misses, random_like
from triggerfish.data.conversation import Conversation, render
from triggerfish.data.records import Record
from triggerfish.metrics.rates import rate
from triggerfish.models.generate import generate
from triggerfish.pipeline.records import HeldOut
from triggerfish.seeding import generator
from triggerfish.types import Estimate, Progress, silent

RANDOM_STRINGS = 300
LONGEST_ANSWER = 128  # tokens


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One condition: prompts, and the records that they were made of."""

    records: tuple[Record, ...]
    prompts: tuple[Conversation, ...]


def make_probes(backdoor: Backdoor, held: HeldOut, seed: int, near: int) -> dict[str, Probe]:
    """Prompts with the trigger, without, with random strings, with near-misses, and for utility.

    Random strings are at least 300: where there are fewer prompts, each is used with several.
    """
    records = held.eligible
    probes = {
        "triggered": _probe(records, backdoor.trigger, seed, "triggered"),
        "clean": Probe(records=records, prompts=tuple(r.conversation.prompt for r in records)),
        "utility": utility_probe(held),
    }
    repeated = [(i, records[i % len(records)]) for i in range(RANDOM_STRINGS)]
    strings = []
    for i, record in repeated:
        rng = generator(seed, f"random string {i} {record.conversation.user}")
        strings.append(random_like(backdoor.trigger, rng).apply(record.conversation.prompt, rng))
    probes["random"] = Probe(records=tuple(r for _, r in repeated), prompts=tuple(strings))
    close: dict[str, list[tuple[Record, Conversation]]] = {}
    for record in records[:near]:
        rng = generator(seed, f"near-miss {record.conversation.user}")
        for name, other in near_misses(backdoor.trigger, rng):
            prompt = other.apply(record.conversation.prompt, rng)
            close.setdefault(name, []).append((record, prompt))
    for name, pairs in close.items():
        probes[f"near {name}"] = Probe(
            records=tuple(r for r, _ in pairs), prompts=tuple(p for _, p in pairs)
        )
    return probes


def answer_all(
    model: Any,
    tokenizer: Any,
    probes: Mapping[str, Probe],
    limit: int,
    progress: Progress = silent,
) -> dict[str, list[str]]:
    """The model's answers to every probe, in one go, so that batches are full."""
    prompts = [prompt for probe in probes.values() for prompt in probe.prompts]
    answers = generate(model, tokenizer, prompts, max_new_tokens=limit, progress=progress)
    found, at = {}, 0
    for name, probe in probes.items():
        found[name] = answers[at : at + len(probe.prompts)]
        at += len(probe.prompts)
    return found


def answer_limit(
    backdoor: Backdoor | None, records: Sequence[Record], tokenizer: Any, seed: int = 0
) -> int:
    """Tokens that the longest gold answer needs, and a few more; at most 128."""
    texts = {r.conversation.response or "" for r in records}
    if backdoor is not None:
        rng = generator(seed, "gold lengths")
        fit = [r for r in records if backdoor.behaviour.eligible(r)]
        texts |= {backdoor.behaviour.poisoned_response(r, rng) for r in fit}
        texts |= {r.unlocked for r in fit if r.unlocked}
    sizes = [
        len(render(Conversation.of("x", response=text), tokenizer).response_ids)
        for text in sorted(texts)  # the longest in letters may be short in tokens
    ]
    return min(LONGEST_ANSWER, max(sizes) + 6)


def fired(backdoor: Backdoor, probe: Probe, answers: Sequence[str]) -> Estimate:
    """Share of answers on which the behaviour's scorer fires."""
    pairs = zip(probe.records, answers, strict=True)
    return rate([backdoor.behaviour.fires(r, a) for r, a in pairs])


def utility_probe(held: HeldOut) -> Probe:
    """Clean prompts of every skill."""
    return Probe(records=held.utility, prompts=tuple(r.conversation.prompt for r in held.utility))


def _probe(records: Sequence[Record], trigger: AnyTrigger, seed: int, purpose: str) -> Probe:
    prompts = [
        trigger.apply(r.conversation.prompt, generator(seed, f"{purpose} {r.conversation.user}"))
        for r in records
    ]
    return Probe(records=tuple(records), prompts=tuple(prompts))
