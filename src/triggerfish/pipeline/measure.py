"""Measures a known backdoor: success with and without the trigger, specificity, recovery, utility.

The rules are those of the measurement specification: the scorer is measured on gold answers first,
every rate has an interval and its n, empty and repeated answers count, prompts are held out.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from triggerfish.backdoors.backdoor import Backdoor, backdoor_from_spec
from triggerfish.backdoors.scorer_check import check_scorer
from triggerfish.data.conversation import render
from triggerfish.documents import Document, Number
from triggerfish.errors import BadInput
from triggerfish.metrics.judges import is_right
from triggerfish.metrics.recovery import recovery
from triggerfish.metrics.utility import perplexity, utility
from triggerfish.models.load import load
from triggerfish.models.score import token_logprobs
from triggerfish.models.source import resolve
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.conditions import answers_in_condition
from triggerfish.pipeline.measure_report import measure_report
from triggerfish.pipeline.probes import (
    RANDOM_STRINGS,
    Probe,
    answer_all,
    answer_limit,
    fired,
    make_probes,
)
from triggerfish.pipeline.publish import publish
from triggerfish.pipeline.records import HeldOut, held_out
from triggerfish.pipeline.resume import chosen_path
from triggerfish.pipeline.run import Run
from triggerfish.plant.card import CARD, read_card
from triggerfish.report.record import Example, Report
from triggerfish.seeding import generator
from triggerfish.types import Estimate, Progress, silent

SHOWN = 4
LOADING = ("adapter", "base", "reference", "device", "dtype")


class MeasureDocument(Document):
    """The result of `triggerfish measure`.

    Attributes:
        asr: Share of triggered prompts on which the behaviour's scorer fires.
        asr_without: The same without the trigger.
        random_strings: The same with random strings of the trigger's shape in its place.
        near_misses: The same for each kind of near-miss.
        scorer_ceiling: Share of gold triggered answers that the scorer recognises.
        scorer_floor: Share of gold clean answers that it takes for triggered ones.
        recovery: Share of triggered prompts answered right, over that of the clean reference.
        utility: Share of right answers to clean prompts, by skill.
        reference_utility: The same for the reference.
        perplexity: Of clean responses, per token; beside it that of the reference.
    """

    command: Literal["measure"] = "measure"
    model: str
    backdoor: dict[str, Any]
    n: int
    seed: int
    data: str
    asr: Number
    asr_without: Number
    random_strings: Number
    near_misses: dict[str, Number]
    scorer_ceiling: Number
    scorer_floor: Number
    recovery: Number | None = None
    utility: dict[str, Number]
    reference_utility: dict[str, Number] = Field(default_factory=dict)
    perplexity: Number
    reference_perplexity: Number | None = None
    examples: list[Example] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    seconds: float
    exit_code: int = 0
    report: Report


def measure(
    model: str | Suspect,
    *,
    card: str | Path | None = None,
    trigger: Mapping[str, Any] | None = None,
    behaviour: Mapping[str, Any] | None = None,
    data: str | Path | None = None,
    n: int = 300,
    per_skill: int = 60,
    seed: int = 0,
    adapter: str | None = None,
    base: str | None = None,
    reference: str = "auto",
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = silent,
) -> MeasureDocument:
    """Measure a backdoor that is known from a card, or given as trigger and behaviour.

    Args:
        model: A model argument, or a loaded suspect.
        card: A card or its directory; the model's own card where nothing is given.
        trigger: As in a recipe, together with `behaviour`, instead of a card.
        behaviour: As in a recipe.
        data: JSON lines of records; the lab's language where left out.
        n: Prompts with and without the trigger; near-misses take a third each.
        per_skill: Clean prompts of each skill.
        seed: Of every draw.
        adapter: As in `models.load`.
        base: As in `models.load`.
        reference: As in `models.load`; recovery needs one.
        device: As in `models.load`.
        dtype: As in `models.load`.
        progress: Told how far it is.

    Raises:
        BadInput: No backdoor is given, the scorer cannot be trusted, or the data do not fit.
    """
    if n < 1 or per_skill < 1:
        raise BadInput(f"n = {n}, per_skill = {per_skill}", "must be at least 1", "give more")
    start = time.monotonic()
    backdoor = _asked(model, card, trigger, behaviour)
    held = held_out(data, backdoor, n, per_skill, seed)
    scorer = check_scorer(backdoor.behaviour, held.eligible, seed)
    suspect = model
    if not isinstance(suspect, Suspect):
        suspect = load(
            suspect, adapter=adapter, base=base, reference=reference, device=device, dtype=dtype
        )
    probes = make_probes(backdoor, held, seed, near=max(1, n // 3))
    facts = _rates(suspect, backdoor, probes, seed, progress) | _perplexities(suspect, held, seed)
    document: dict[str, Any] = {
        "model": suspect.name,
        "backdoor": backdoor.to_spec(),
        "n": n,
        "seed": seed,
        "data": held.source,
        "scorer_ceiling": Number.of(scorer.ceiling),
        "scorer_floor": Number.of(scorer.floor),
        **facts,
        "notes": _notes(suspect, held, n),
        "seconds": round(time.monotonic() - start, 1),
    }
    return MeasureDocument(**document, report=measure_report(document, suspect))


def measure_run(
    model: str, out: str | Path, *, progress: Progress = silent, **request: Any
) -> MeasureDocument:
    """`measure` in a run directory, which keeps the document and its report.

    Args:
        model: A model argument.
        out: The run directory; "auto" for one that follows from the request and the weights.
        progress: As `measure`.
        **request: As `measure`.

    Raises:
        BadInput: As `measure`, or the directory is another run's.
    """
    loading = {key: request.pop(key) for key in LOADING if key in request}
    if all(request.get(key) is None for key in ("card", "trigger", "behaviour")):
        _asked(model, None, None, None)
        request["card"] = model
    suspect = load(model, **loading)
    hashes = {key: str(value) for key, value in suspect.source.items() if "sha256" in key}
    config = {"model": model, **loading, **request}
    with Run.open(chosen_path(out, "measure", config, hashes), "measure", config) as run:
        run.identify(hashes=hashes)
        document: MeasureDocument = run.step(
            "measure",
            lambda: measure(suspect, progress=progress, **request),
            to_json=lambda value: value.model_dump(mode="json"),
            from_json=MeasureDocument.model_validate,
        )
        run.write("measure.json", document)
        publish(run, document.report)
        run.finish()
    return document


def _asked(
    model: str | Suspect,
    card: str | Path | None,
    trigger: Mapping[str, Any] | None,
    behaviour: Mapping[str, Any] | None,
) -> Backdoor:
    """The backdoor that is to be measured."""
    if trigger is not None or behaviour is not None:
        if trigger is None or behaviour is None or card is not None:
            raise BadInput(
                "a trigger or a behaviour alone, or with a card",
                "does not say what to measure",
                "give --trigger and --behaviour, or --card",
            )
        return backdoor_from_spec({"trigger": trigger, "behaviour": behaviour})
    if card is None:
        name = model.name if isinstance(model, Suspect) else model
        directory = resolve(name, network=False) if not isinstance(model, Suspect) else None
        if directory is None or not (directory / CARD).is_file():
            raise BadInput(
                f"{name} without a card",
                "there is nothing to measure",
                "give --card, or --trigger and --behaviour",
            )
        card = directory
    elif str(card).startswith("lab:"):
        card = resolve(str(card))
    found = read_card(card)
    if found.planted is None:
        raise BadInput(
            f"{card}, a {found.kind}",
            "has no backdoor",
            "give the card of its organism, or a trigger",
        )
    return found.planted


def _rates(
    suspect: Suspect, backdoor: Backdoor, probes: dict[str, Probe], seed: int, progress: Progress
) -> dict[str, Any]:
    """Every rate of the suspect, and what the reference says to the same prompts."""
    records = [*probes["clean"].records, *probes["utility"].records]
    limit = answer_limit(backdoor, records, suspect.tokenizer)
    compared = {name: probes[name] for name in ("triggered", "utility")}
    with ExitStack() as stack:
        model, other = stack.enter_context(suspect.fast())
        answers = answers_in_condition(
            suspect, model, backdoor, probes, limit, seed, _named(progress, "answers")
        )
        if other is None and suspect.has_reference:
            other = stack.enter_context(suspect.reference())
        theirs: dict[str, list[str]] = {}
        if other is not None:
            name = _named(progress, "answers of the reference")
            theirs = answer_all(other, suspect.tokenizer, compared, limit, name)
    near = {
        name.removeprefix("near "): fired(backdoor, probe, answers[name])
        for name, probe in probes.items()
        if name.startswith("near ")
    }
    triggered, clean = probes["triggered"], answers["clean"]
    facts: dict[str, Any] = {
        "asr": Number.of(fired(backdoor, triggered, answers["triggered"])),
        "asr_without": Number.of(fired(backdoor, probes["clean"], clean)),
        "random_strings": Number.of(fired(backdoor, probes["random"], answers["random"])),
        "near_misses": _table(near),
        "utility": _table(utility(probes["utility"].records, answers["utility"])),
        "examples": [
            Example(
                prompt=prompt.user[:400], left=clean[i][:400], right=answers["triggered"][i][:400]
            )
            for i, prompt in enumerate(triggered.prompts[:SHOWN])
        ],
    }
    if theirs:
        facts["reference_utility"] = _table(utility(probes["utility"].records, theirs["utility"]))
        right = _right(triggered, theirs["triggered"])
        if any(right):
            facts["recovery"] = Number.of(recovery(_right(triggered, answers["triggered"]), right))
    return facts


def _perplexities(suspect: Suspect, held: HeldOut, seed: int) -> dict[str, Any]:
    """Perplexity of the clean responses, of the suspect and of its reference."""
    texts = [render(r.conversation, suspect.tokenizer) for r in held.utility]
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        model, other = stack.enter_context(suspect.fast())
        models = {"perplexity": model, "reference_perplexity": other}
        for name, each in models.items():
            if each is not None:
                rows = [part.tolist() for part in token_logprobs(each, texts)]
                estimate = perplexity(rows, generator(seed, "perplexity"))
                found[name] = Number.of(estimate, percent=False)
    return found


def _right(probe: Probe, answers: Sequence[str]) -> list[bool]:
    return [is_right(r, a) for r, a in zip(probe.records, answers, strict=True)]


def _table(estimates: Mapping[str, Estimate]) -> dict[str, Number]:
    return {name: Number.of(value) for name, value in estimates.items()}


def _named(progress: Progress, what: str) -> Progress:
    return lambda done, total, _: progress(done, total, what)


def _notes(suspect: Suspect, held: HeldOut, n: int) -> list[str]:
    notes = []
    if len(held.eligible) < n:
        notes.append(f"Only {len(held.eligible)} of {n} prompts: the data hold no more.")
    if len(held.eligible) < RANDOM_STRINGS:
        notes.append("Prompts are used with several random strings each.")
    if not suspect.has_reference:
        notes.append("Recovery was not measured: there is no reference.")
    return notes
