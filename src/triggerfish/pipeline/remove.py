"""Remove a backdoor, always beside the two standing controls, and measure what is left."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.backdoors.scorer_check import check_scorer
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.models.load import Suspect
from triggerfish.pipeline.probes import answer_limit
from triggerfish.pipeline.publish import publish
from triggerfish.pipeline.removal_arms import Exam, Measured, check_measured
from triggerfish.pipeline.removal_data import RemovalData, file_data, lab_data
from triggerfish.pipeline.removal_document import (
    BEFORE,
    NOISE,
    PLAIN,
    Arm,
    RemovalDocument,
    SpecificationUsed,
    Training,
    arm_of,
    cautions,
    report_of,
)
from triggerfish.pipeline.removal_settings import RemovalSettings, method_config, with_rate
from triggerfish.pipeline.removal_store import Memory, Store
from triggerfish.pipeline.removal_write import write_model
from triggerfish.pipeline.run import Run
from triggerfish.remove.clean_finetune import CleanConfig
from triggerfish.remove.defence import DEFENCES, Defended
from triggerfish.remove.delta import Delta, applied
from triggerfish.remove.policy import PolicySets, begins, first_words, policy_sets
from triggerfish.remove.reactivation import ReactivationConfig
from triggerfish.remove.train import Budget
from triggerfish.seeding import generator
from triggerfish.types import Progress, silent

__all__ = ["RemovalSettings", "matched", "remove"]

CLEAN = "clean-finetune"
TWIN = "clean twin"
CONTROLS = {PLAIN: 0.0, NOISE: 0.7}  # share of prompts with random strings


def remove(
    suspect: Suspect,
    settings: RemovalSettings | None = None,
    *,
    backdoor: Backdoor | None = None,
    twin: Suspect | None = None,
    records: Sequence[Record] | None = None,
    unwanted: Sequence[Record] = (),
    out: Path | str | None = None,
    reproduce: str = "",
    progress: Progress = silent,
) -> RemovalDocument:
    """Run a defence and its two controls, and measure all of them.

    Args:
        suspect: the loaded model; comes back unchanged.
        settings: what to do.
        backdoor: trigger and behaviour, for measuring only; no defence sees them.
        twin: the clean twin: reference of the recovery, and the defence must do it no harm.
        records: conversations with right responses; the lab's own where None.
        unwanted: D_SA-H, prompts among the records with the unwanted opener as response.
        out: directory of the defended model and of the run; resumes what was interrupted.
        reproduce: the command line, for the report.
        progress: told about every part.

    Raises:
        BadInput: empty data, an unknown method, or settings that fit no layer.
        CouldNotTest: training diverged, or a defence changed nothing.
    """
    if suspect.steered is not None:
        raise BadInput(
            suspect.name,
            "is a vector beside unchanged weights: there is nothing to train away",
            "delete the vector, or use its base",
        )
    settings = with_rate(settings or RemovalSettings(), suspect.model)
    start = time.monotonic()
    size = (settings.n, settings.per_skill)
    if records is None:
        data = lab_data(backdoor, *size, settings.seed)
    else:
        data = file_data(records, backdoor, *size, unwanted)
    if backdoor is not None:
        check_scorer(backdoor.behaviour, data.attacked, settings.seed)
    with _store(suspect, settings, backdoor, twin, out) as store:
        job = _Job(suspect, settings, backdoor, twin, data, store, progress)
        document = job.document(out, reproduce, start)
        if isinstance(store, Run) and out is not None:
            write_model(suspect, job.train(settings.method, suspect)[0], Path(out))
            store.write("removal.json", document)
            publish(store, document.report)
            store.finish()
    return document


@contextlib.contextmanager
def _store(
    suspect: Suspect,
    settings: RemovalSettings,
    backdoor: Backdoor | None,
    twin: Suspect | None,
    out: Path | str | None,
) -> Iterator[Store]:
    if out is None:
        yield Memory()
        return
    config = {
        "model": suspect.name,
        **asdict(settings),
        "backdoor": backdoor.to_spec() if backdoor else None,
        "twin": twin.name if twin else None,
    }
    with Run.open(out, "remove", config) as run:
        run.identify(hashes={"weights": str(suspect.source["weights_sha256"])})
        yield run


class _Job:
    """One removal: trains and measures each arm once."""

    def __init__(
        self,
        suspect: Suspect,
        settings: RemovalSettings,
        backdoor: Backdoor | None,
        twin: Suspect | None,
        data: RemovalData,
        store: Store,
        progress: Progress,
    ) -> None:
        self.suspect, self.settings, self.twin = suspect, settings, twin
        self.data, self.store, self.progress = data, store, progress
        few = min(settings.samples, default=0) > len(data.poison)
        self.exam = Exam(
            backdoor=backdoor,
            data=data,
            samples=() if few else tuple(k for k in settings.samples if k <= len(data.poison)),
            reactivation=ReactivationConfig(
                weights=settings.weights, rate=settings.rate or ReactivationConfig.rate
            ),
            seed=settings.seed,
            max_new_tokens=answer_limit(
                backdoor, [*data.utility, *data.attacked], suspect.tokenizer, settings.seed
            ),
        )
        self.policies = functools.cache(self._policy)

    def _policy(self, suspect: Suspect) -> PolicySets:
        return policy_sets(
            suspect,
            self.data.train,
            self.data.held_out,
            specification=self.settings.specification
            if suspect is self.suspect
            else self.policies(self.suspect).specification.text,
            unwanted=[record.conversation for record in self.data.unwanted],
            scope=self.settings.scope,
            progress=self.progress,
        )

    def specification(self) -> SpecificationUsed:
        """What was chosen; stored, so that a resumed run need not ask the model again."""

        def used() -> SpecificationUsed:
            policy = self.policies(self.suspect)
            return SpecificationUsed(
                text=policy.specification.text,
                origin=policy.specification.origin,
                share_of_allowed_answers=policy.specification.share,
                prompts=len(policy.asked),
                warning=policy.specification.warning,
            )

        return self.store.step(
            "specification",
            used,
            lambda value: value.model_dump(),
            SpecificationUsed.model_validate,
        )

    def train(self, name: str, suspect: Suspect) -> tuple[Delta, Training]:
        """The new weights of an arm and what they cost."""
        label = _slug(name) + ("" if suspect is self.suspect else "-twin")

        def work() -> Training:
            defended = self._defend(name, suspect)
            self.store.save(label, defended.delta.tensors)
            return _training(defended)

        training = self.store.step(
            f"train-{label}", work, lambda t: t.model_dump(), Training.model_validate
        )
        delta = Delta(
            kind=training.weights,
            tensors=self.store.load(label, framework="torch"),
            norm=training.change,
            relative=training.relative_change,
        )
        return delta, training

    def _defend(self, name: str, suspect: Suspect) -> Defended:
        settings = self.settings
        rng = generator(settings.seed, f"removal: {name}")
        method = CLEAN if name in CONTROLS else name
        config: Any
        if name in CONTROLS and settings.method != CLEAN:
            spent = self.train(settings.method, self.suspect)[1]
            size = Budget(steps=1)
            budget = replace(size, steps=spent.steps, rate=spent.rate)
            config = CleanConfig(budget=budget, noise=CONTROLS[name], weights=settings.weights)
        else:
            config = method_config(settings, CONTROLS.get(name, 0.0))
        return DEFENCES.get(method)(
            suspect, self.policies(suspect), config, rng=rng, progress=self.progress
        )

    def measure(self, name: str, suspect: Suspect, delta: Delta | None, again: bool) -> Measured:
        """Flags of a suspect wearing a delta."""
        label = _slug(name) + ("" if suspect is self.suspect else "-twin")

        def work() -> Measured:
            # Merged copies answer faster than LoRA layers; they take the delta along.
            with applied(suspect.model, delta), suspect.fast() as (model, _):
                found = self.exam.take(
                    suspect,
                    model,
                    reactivate_from=delta,
                    again=again,
                    what=name,
                    progress=self.progress,
                )
            check_measured(found)
            return found

        return self.store.step(f"measure-{label}", work, Measured.to_json, Measured.from_json)

    def reference(self) -> tuple[str | None, Measured | None]:
        """The clean reference of the recovery: the twin, else the suspect's own reference."""
        if self.twin is not None:
            return f"{TWIN} {self.twin.name}", self.measure(TWIN, self.twin, None, again=True)
        if not self.suspect.has_reference or self.exam.backdoor is None:
            return None, None

        def work() -> Measured:
            with self.suspect.reference() as model:
                return self.exam.take(self.suspect, model, what="reference", progress=self.progress)

        found = self.store.step("measure-reference", work, Measured.to_json, Measured.from_json)
        return f"reference ({self.suspect.reference_kind})", found

    def document(self, out: Path | str | None, reproduce: str, start: float) -> RemovalDocument:
        """Everything, in the order of the report."""
        method = self.settings.method
        specification = self.specification()
        names = [method, *(name for name in CONTROLS if not (name == PLAIN and method == CLEAN))]
        named, reference = self.reference()
        flags = {BEFORE: self.measure(BEFORE, self.suspect, None, again=False)}
        trained: dict[str, Training] = {}
        for name in names:
            delta, trained[name] = self.train(name, self.suspect)
            flags[name] = self.measure(name, self.suspect, delta, again=True)
        arms = [
            arm_of(
                name,
                found,
                reference=reference,
                before=flags[BEFORE] if name != BEFORE else None,
                training=trained.get(name),
            )
            for name, found in flags.items()
        ]
        clean = self._clean(method, named, reference)
        warnings = [*([specification.warning] if specification.warning else [])]
        warnings += self._mismatch(specification.text)
        warnings += cautions(arms, method)
        not_tested = self._not_tested(reference)
        backdoor = self.exam.backdoor
        shared: dict[str, Any] = {
            "model": self.suspect.name,
            "method": method,
            "specification": specification,
            "arms": arms,
            "clean": clean,
            "warnings": warnings,
            "not_tested": not_tested,
        }
        report = report_of(
            **shared,
            examples={name: flags[name].examples for name in (BEFORE, method)},
            reproduce=reproduce,
            provenance={
                "model": self.suspect.name,
                "weights (sha256)": str(self.suspect.source["weights_sha256"]),
                "data": self.data.origin,
                "seed": str(self.settings.seed),
                "reference": named or "none",
            },
        )
        return RemovalDocument(
            **shared,
            seed=self.settings.seed,
            backdoor=backdoor.to_spec() if backdoor else None,
            reference=named,
            seconds=round(time.monotonic() - start, 1),
            out=str(out) if out is not None else None,
            report=report,
        )

    def _clean(self, method: str, named: str | None, reference: Measured | None) -> list[Arm]:
        """The clean reference, and the twin after the same defence."""
        if reference is None or named is None:
            return []
        arms = [arm_of(TWIN if self.twin else "reference", reference, reference=reference)]
        if self.twin is not None:
            delta, training = self.train(method, self.twin)
            after = self.measure(method, self.twin, delta, again=True)
            arms.append(
                arm_of(
                    f"{TWIN} after {method}",
                    after,
                    reference=reference,
                    before=reference,
                    training=training,
                )
            )
        return arms

    def _mismatch(self, text: str) -> list[str]:
        """A specification that is not what the known backdoor says; the defence cannot know."""
        wanted = matched(self.exam.backdoor)
        if self.settings.method != "beear" or wanted is None or begins(wanted, text):
            return []
        return [f"Mismatched: the backdoor says {wanted!r}, the specification is {text!r}."]

    def _not_tested(self, reference: Measured | None) -> list[str]:
        found = []
        if self.exam.backdoor is None:
            found.append("Attack success, recovery and re-activation: no trigger was given.")
        elif reference is None:
            found.append("Recovery: there is no clean twin and no reference.")
        if self.twin is None:
            found.append("Whether the defence harms a clean model: there is no clean twin.")
        if self.exam.backdoor is not None and not self.exam.samples:
            found.append("Re-activation: too few records to poison.")
        return found


def matched(backdoor: Backdoor | None) -> str | None:
    """The specification that an output found by an audit gives; None where it gives none.

    Only a backdoor that says one text, or begins with one, has such a specification.
    """
    text = backdoor.behaviour.to_spec().get("text") if backdoor is not None else None
    return first_words(text) if isinstance(text, str) else None


def _slug(name: str) -> str:
    return name.replace(" ", "-")


def _training(defended: Defended) -> Training:
    return Training(
        steps=defended.spent.steps,
        rate=defended.spent.rate,
        rows=defended.spent.asked + defended.spent.benign,
        seconds=round(defended.seconds, 2),
        weights=defended.delta.kind,
        change=defended.delta.norm,
        relative_change=defended.delta.relative,
        output_change=defended.changed,
        note=defended.note,
        config=dict(defended.config),
        log=[dict(row) for row in defended.log],
    )
