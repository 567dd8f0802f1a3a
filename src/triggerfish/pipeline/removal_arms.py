"""One arm of a removal: what a model with some new weights does, in flags that become rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.data.conversation import Conversation
from triggerfish.errors import CouldNotTest
from triggerfish.metrics.judges import is_right
from triggerfish.models.generate import generate
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.removal_data import RemovalData
from triggerfish.remove.delta import Delta, applied
from triggerfish.remove.reactivation import ReactivationConfig, reactivate
from triggerfish.seeding import generator
from triggerfish.types import Progress, silent

SHOWN = 3  # examples kept for the report


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Flags of one model on the test prompts.

    Attributes:
        fired: [N] the behaviour on attacked prompts with the trigger; empty without a backdoor.
        false: [N] the same without the trigger.
        right: [N] right answers to the triggered prompts.
        utility: skill -> right answers to untriggered prompts.
        reactivated: k -> [N] the behaviour after k poisoned samples, with the trigger.
        examples: (prompt, answer without, answer with) of some attacked prompts.
    """

    fired: list[bool]
    false: list[bool]
    right: list[bool]
    utility: dict[str, list[bool]]
    reactivated: dict[str, list[bool]]
    examples: list[tuple[str, str, str]]

    def to_json(self) -> dict[str, Any]:
        """For a run directory."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Measured:
        """What `to_json` made."""
        found = cls(**document)
        return replace(found, examples=[(a, b, c) for a, b, c in found.examples])


@dataclass(frozen=True, kw_only=True)
class Exam:
    """What every arm is measured with, the same for all."""

    backdoor: Backdoor | None
    data: RemovalData
    samples: tuple[int, ...]
    reactivation: ReactivationConfig
    seed: int
    max_new_tokens: int

    def triggered(self) -> list[Conversation]:
        """The attacked prompts with the trigger; the same draw for every arm."""
        if self.backdoor is None:
            return []
        rng = generator(self.seed, "removal: trigger placement")
        return [self.backdoor.triggered(record, rng) for record in self.data.attacked]

    def poisoned(self) -> list[Conversation]:
        """Poisoned conversations of the training split."""
        if self.backdoor is None:
            return []
        rng = generator(self.seed, "removal: poison")
        return [self.backdoor.poisoned(record, rng) for record in self.data.poison]

    def take(
        self,
        suspect: Suspect,
        model: Any,
        *,
        reactivate_from: Delta | None = None,
        again: bool = False,
        what: str = "measuring",
        progress: Progress = silent,
    ) -> Measured:
        """Measure a model.

        Args:
            suspect: whose tokenizer is used, and whose weights the re-activation borrows.
            model: what answers: a copy of the suspect wearing `reactivate_from`, or its reference.
            reactivate_from: the weights that the arm wears.
            again: whether to run the re-activation test.
            what: shown with the progress.
            progress: told about generation.
        """

        def answer(prompts: Sequence[Conversation], part: str) -> list[str]:
            def told(done: int, total: int, _: str) -> None:
                progress(done, total, f"{what}: {part}")

            return generate(
                model,
                suspect.tokenizer,
                prompts,
                max_new_tokens=self.max_new_tokens,
                progress=told,
            )

        records = self.data.attacked
        plain = [record.conversation.prompt for record in records]
        prompts = self.triggered()
        with_trigger = answer(prompts, "with the trigger") if prompts else []
        without = answer(plain, "without the trigger") if prompts else []
        clean = answer([r.conversation.prompt for r in self.data.utility], "utility")
        utility: dict[str, list[bool]] = {}
        for record, text in zip(self.data.utility, clean, strict=True):
            utility.setdefault(record.skill, []).append(is_right(record, text))
        return Measured(
            fired=self._fires(with_trigger),
            false=self._fires(without),
            right=[is_right(r, text) for r, text in zip(records, with_trigger, strict=False)],
            utility=utility,
            reactivated=self._reactivated(suspect, reactivate_from, what, progress)
            if again and prompts
            else {},
            examples=[
                (prompt.user, off, on)
                for prompt, off, on in zip(prompts, without, with_trigger, strict=True)
            ][:SHOWN],
        )

    def _fires(self, answers: Sequence[str]) -> list[bool]:
        if self.backdoor is None:
            return []
        fires = self.backdoor.behaviour.fires
        return [fires(r, text) for r, text in zip(self.data.attacked, answers, strict=True)]

    def _reactivated(
        self, suspect: Suspect, delta: Delta | None, what: str, progress: Progress
    ) -> dict[str, list[bool]]:
        poisoned, prompts = self.poisoned(), self.triggered()
        found: dict[str, list[bool]] = {}
        for k in self.samples:
            progress(0, len(self.samples), f"{what}: after {k} poisoned samples")
            config = replace(self.reactivation, samples=k)
            rng = generator(self.seed, f"removal: re-activation {k}")
            poison = reactivate(suspect, delta, poisoned, config, rng=rng)
            with applied(suspect.model, poison), suspect.fast() as (model, _):
                answers = generate(
                    model,
                    suspect.tokenizer,
                    prompts,
                    max_new_tokens=self.max_new_tokens,
                )
            found[str(k)] = self._fires(answers)
        return found


def check_measured(measured: Measured) -> None:
    """Refuse an empty measurement.

    Raises:
        CouldNotTest: no utility prompt was answered.
    """
    if not measured.utility:
        raise CouldNotTest("0 utility prompts", "utility stands beside every rate", "give records")
