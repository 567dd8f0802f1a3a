"""Explain a known backdoor: drift, head attribution with controls, ablation curve."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.backdoors.behaviour import Behaviour
from triggerfish.backdoors.trigger import Activation, AnyTrigger, random_like
from triggerfish.documents import Part
from triggerfish.errors import BadInput
from triggerfish.explain.ablation import AblationConfig, measure_curve
from triggerfish.explain.drift import measure_drift
from triggerfish.explain.heads import Attribution, HeadsConfig, attribute, clean_head_means
from triggerfish.explain.pairs import Pair
from triggerfish.metrics.judges import is_right
from triggerfish.models.activations import residuals
from triggerfish.models.generate import generate
from triggerfish.models.products import fast_products
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.explain_document import (
    ControlPart,
    CurvePart,
    DriftPart,
    EffectsPart,
    ExplainDocument,
    LayerPart,
    mean_number,
)
from triggerfish.pipeline.explain_report import report_of
from triggerfish.pipeline.explain_texts import ExplainSettings, Texts, make_texts
from triggerfish.pipeline.probes import answer_limit
from triggerfish.pipeline.publish import publish
from triggerfish.pipeline.run import Run
from triggerfish.seeding import generator
from triggerfish.types import Progress, silent

__all__ = ["ExplainSettings", "explain"]

P = TypeVar("P", bound=Part)


def explain(
    suspect: Suspect,
    trigger: AnyTrigger,
    behaviour: Behaviour | None = None,
    settings: ExplainSettings | None = None,
    *,
    data: str | Path | None = None,
    twin: Suspect | None = None,
    out: str | Path | None = None,
    reproduce: str = "",
    progress: Progress = silent,
) -> ExplainDocument:
    """Show where in a model a known backdoor sits.

    Args:
        suspect: the loaded model; comes back unchanged.
        trigger: what sets the backdoor off.
        behaviour: what it does; where None, whatever the model says with the trigger.
        settings: what to measure.
        data: JSON lines of records; the lab's language where None.
        twin: the clean twin: a control, and the reference of the recovery.
        out: run directory, for effects of every input (`artifacts`) and for resuming.
        reproduce: the command line, for the report.
        progress: told about every part.

    Raises:
        BadInput: no records that suit the behaviour, or a scorer that cannot be trusted.
        CouldNotTest: the trigger changes nothing.
    """
    if isinstance(trigger, Activation):
        raise BadInput(
            f"{suspect.name} with a steering vector",
            "has no trigger in the text, so that there are no two prompts to compare",
            "its card names the layer",
        )
    settings = settings or ExplainSettings()
    if out is None:
        return _Job(suspect, trigger, behaviour, settings, data, twin, None, progress).document(
            reproduce
        )
    config = {
        "model": suspect.name,
        **asdict(settings),
        "trigger": trigger.to_spec(),
        "behaviour": behaviour.to_spec() if behaviour else None,
        "data": None if data is None else str(data),
        "twin": twin.name if twin else None,
    }
    with Run.open(out, "explain", config) as run:
        run.identify(hashes={"weights": str(suspect.source["weights_sha256"])})
        job = _Job(suspect, trigger, behaviour, settings, data, twin, run, progress)
        document = job.document(reproduce)
        run.write("explain.json", document)
        publish(run, document.report)
        run.finish()
    return document


class _Job:
    """One explanation; each part is made once and kept in the run."""

    def __init__(
        self,
        suspect: Suspect,
        trigger: AnyTrigger,
        behaviour: Behaviour | None,
        settings: ExplainSettings,
        data: str | Path | None,
        twin: Suspect | None,
        run: Run | None,
        progress: Progress,
    ) -> None:
        self.suspect, self.trigger, self.settings = suspect, trigger, settings
        self.given, self.data, self.twin = behaviour, data, twin
        self.run, self.progress = run, progress
        self.tokenizer = suspect.tokenizer

    def document(self, reproduce: str) -> ExplainDocument:
        """Every part, and the report."""
        start = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(fast_products())
            model, reference = stack.enter_context(self.suspect.fast())
            texts = make_texts(
                model,
                self.tokenizer,
                self.trigger,
                self.given,
                self.data,
                self.settings,
                self.progress,
            )
            drift = self._step("drift", DriftPart, lambda: self._drift(model, texts))
            effects = self._effects(model, texts)
            controls = self._controls(model, texts)
            ranking = next(
                part
                for part in effects
                if part.component == "heads" and part.direction == self.settings.rank_by
            )
            curve = self._step(
                "curve", CurvePart, lambda: self._curve(model, reference, texts, ranking)
            )
        report = {
            "model": self.suspect.name,
            "backdoor": Backdoor(self.trigger, texts.behaviour).to_spec(),
            "seed": self.settings.seed,
            "texts": {
                "ranking": len(texts.ranking),
                "test": len(texts.test),
                "utility": len(texts.utility),
            },
            "drift": drift,
            "effects": effects,
            "controls": controls,
            "curve": curve,
            "notes": self._notes(texts, curve),
            "not_tested": [
                "Positions before the last prompt token: a trigger that acts through them shows"
                " small effects here.",
                "Pairs of heads that only work together, but for the sets of the ablation curve.",
            ],
            "seconds": round(time.monotonic() - start, 1),
            "run": None if self.run is None else str(self.run.path),
        }
        return ExplainDocument(**report, report=report_of(report, self.suspect, reproduce))

    def _notes(self, texts: Texts, curve: CurvePart) -> list[str]:
        notes = [f"Texts: {texts.source}.", texts.note]
        if self.settings.max_tokens is not None:
            notes.append(
                f"Targets and right answers are scored on their first {self.settings.max_tokens}"
                " tokens."
            )
        if curve.ranked[0].recovery is None:
            notes.append(f"No recovery: {curve.reference} is never right on these prompts.")
        return [note for note in notes if note]

    def _step(self, name: str, kind: type[P], work: Callable[[], P]) -> P:
        if self.run is None:
            return work()
        return self.run.step(
            name, work, lambda part: part.model_dump(mode="json"), kind.model_validate
        )

    def _drift(self, model: Any, texts: Texts) -> DriftPart:
        layers = range(self.suspect.layout.n_layers)
        wrong = self._wrong(texts.ranking)

        def states(prompts: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
            found = residuals(model, self.tokenizer, prompts, layers)
            return np.asarray(found.numpy(), dtype=np.float64)

        clean = states([pair.clean for pair in texts.ranking])
        found = {}
        for name, pairs in (("layers", texts.ranking), ("wrong", wrong)):
            rng = generator(self.settings.seed, f"drift {name}")
            drift = measure_drift(clean, states([pair.triggered for pair in pairs]), rng)
            found[name] = [LayerPart.of(layer) for layer in drift]
        return DriftPart(layers=found["layers"], wrong=found["wrong"])

    def _wrong(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs with a random trigger of the same shape in place of the true one."""
        rng = generator(self.settings.seed, "wrong trigger")
        other = random_like(self.trigger, rng)
        return [
            Pair(
                record=pair.record,
                clean=pair.clean,
                triggered=other.apply(pair.clean, rng),
                target=pair.target,
                answer=pair.answer,
            )
            for pair in pairs
        ]

    def _attribute(self, model: Any, pairs: Sequence[Pair], config: HeadsConfig) -> Attribution:
        return attribute(model, self.tokenizer, pairs, config, progress=self.progress)

    def _effects(self, model: Any, texts: Texts) -> list[EffectsPart]:
        class _Effects(Part):
            parts: list[EffectsPart]

        def work() -> _Effects:
            config = HeadsConfig(
                components=self.settings.components, max_tokens=self.settings.max_tokens
            )
            found = self._attribute(model, texts.ranking, config)
            self._save(found)
            clean = found["sufficiency", "heads"].base.by("log_odds")
            triggered = found["necessity", "heads"].base.by("log_odds")
            totals = {
                "sufficiency": mean_number(triggered - clean),
                "necessity": mean_number(clean - triggered),
            }
            parts = [
                EffectsPart.of_effects(
                    effects,
                    self.settings.seed,
                    totals[direction],
                    leading=max(40, self.settings.counts[-1]),
                )
                for (direction, _), effects in found.effects.items()
            ]
            return _Effects(parts=parts)

        return self._step("effects", _Effects, work).parts

    def _save(self, found: Attribution) -> None:
        if self.run is None:
            return
        arrays = {}
        for (direction, component), effects in found.effects.items():
            arrays[f"{direction}.{component}.target"] = effects.patched.target
            arrays[f"{direction}.{component}.answer"] = effects.patched.answer
            arrays[f"{direction}.base.target"] = effects.base.target
            arrays[f"{direction}.base.answer"] = effects.base.answer
            arrays["target_tokens"] = effects.base.target_tokens
            arrays["answer_tokens"] = effects.base.answer_tokens
        self.run.save("effects", arrays)

    def _controls(self, model: Any, texts: Texts) -> list[ControlPart]:
        few = texts.ranking[: self.settings.controls]
        config = HeadsConfig(
            directions=("sufficiency",),
            components=("heads",),
            max_tokens=self.settings.max_tokens,
        )
        work: list[tuple[str, Any, Sequence[Pair]]] = [
            ("wrong trigger of the same shape", model, self._wrong(few))
        ]
        with ExitStack() as stack:
            if self.twin is not None:
                clean = stack.enter_context(self.twin.fast())[0]
                work.insert(0, ("clean twin, same trigger", clean, few))
            return [
                self._step(
                    f"control-{number}",
                    ControlPart,
                    lambda name=name, other=other, pairs=pairs: ControlPart(  # type: ignore[misc]
                        name=name,
                        n=len(pairs),
                        heads=EffectsPart.of_effects(
                            self._attribute(other, pairs, config)["sufficiency", "heads"],
                            self.settings.seed,
                            leading=8,
                        ),
                    ),
                )
                for number, (name, other, pairs) in enumerate(work)
            ]

    def _curve(self, model: Any, reference: Any, texts: Texts, ranking: EffectsPart) -> CurvePart:
        settings = self.settings
        known = None if self.given is None else Backdoor(self.trigger, texts.behaviour)
        records = [*(pair.record for pair in texts.test), *texts.utility]
        limit = answer_limit(known, records, self.tokenizer, settings.seed)
        config = AblationConfig(counts=settings.counts, mode=settings.mode, max_new_tokens=limit)
        right, name = self._reference_right(model, reference, texts, limit)
        means = None
        if settings.mode == "mean":
            means = clean_head_means(model, self.tokenizer, texts.ranking)
        curve = measure_curve(
            model,
            self.tokenizer,
            [(place.layer, place.index) for place in ranking.ranked],
            texts.test,
            texts.utility,
            texts.behaviour,
            right,
            config,
            generator(settings.seed, "random heads"),
            clean_means=means,
            progress=self.progress,
        )
        return CurvePart.of(curve, settings.mode, settings.rank_by, name)

    def _reference_right(
        self, model: Any, reference: Any, texts: Texts, limit: int
    ) -> tuple[list[bool], str]:
        """Whether the clean reference answers each triggered test prompt right, and its name."""
        prompts = [pair.triggered for pair in texts.test]
        with ExitStack() as stack:
            if self.twin is not None:
                other, name = stack.enter_context(self.twin.fast())[0], "the clean twin"
            elif self.suspect.has_reference:
                other, name = reference, "the reference"
                if other is None:
                    other = stack.enter_context(self.suspect.reference())
            else:
                other, name = model, "the model itself without the trigger"
                prompts = [pair.clean for pair in texts.test]
            answers = generate(
                other, self.tokenizer, prompts, max_new_tokens=limit, progress=self.progress
            )
        right = [
            is_right(pair.record, text) for pair, text in zip(texts.test, answers, strict=True)
        ]
        return right, name
