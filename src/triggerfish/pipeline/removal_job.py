"""One removal at work: the specification, and every arm trained and measured once.

What is done is kept in a store, so that a run that was cut off does not do it again.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.probes import answer_limit
from triggerfish.pipeline.removal_arms import Exam, Measured, check_measured
from triggerfish.pipeline.removal_data import RemovalData
from triggerfish.pipeline.removal_document import (
    NOISE,
    PLAIN,
    SpecificationUsed,
    Training,
)
from triggerfish.pipeline.removal_settings import RemovalSettings, method_config
from triggerfish.pipeline.removal_store import Store
from triggerfish.remove.clean_finetune import CleanConfig
from triggerfish.remove.defence import DEFENCES, Defended
from triggerfish.remove.delta import Delta, applied
from triggerfish.remove.policy import PolicySets, policy_sets
from triggerfish.remove.reactivation import ReactivationConfig
from triggerfish.remove.train import Budget
from triggerfish.seeding import generator
from triggerfish.types import Progress

CLEAN = "clean-finetune"
TWIN = "clean twin"
CONTROLS = {PLAIN: 0.0, NOISE: 0.7}  # share of prompts with random strings


class RemovalJob:
    """Trains and measures each arm of one removal once."""

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
