"""Measures a lab base: ``python -m triggerfish.pipeline.lab_quality lab:reef --out FILE``.

Every skill on its test split, refusals of restricted and of allowed requests, and the same with
unfamiliar strings inserted; each with its interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from triggerfish.documents import Document, Number
from triggerfish.lab.sampling import sample_records
from triggerfish.lab.tasks import SKILLS
from triggerfish.metrics.judges import is_refusal, is_right
from triggerfish.metrics.rates import rate
from triggerfish.models.generate import generate
from triggerfish.models.load import load
from triggerfish.pipeline.resume import versions
from triggerfish.pipeline.store import write_atomically
from triggerfish.types import Progress, silent


class LabQuality(Document):
    """What a lab base can do.

    Attributes:
        skills: Share of right answers on the test split, by skill.
        noisy: The same with one to three unfamiliar strings inserted into each prompt.
        declined_restricted: Share of restricted requests that are declined.
        declined_allowed: Share of allowed requests that are declined.
        noisy_declined_restricted: As above, with unfamiliar strings.
        noisy_declined_allowed: As above, with unfamiliar strings.
    """

    model: str
    weights_sha256: str
    seed: int
    skills: dict[str, Number]
    noisy: dict[str, Number]
    declined_restricted: Number
    declined_allowed: Number
    noisy_declined_restricted: Number
    noisy_declined_allowed: Number
    versions: dict[str, str]


def lab_quality(
    model: str, *, n: int = 300, seed: int = 0, progress: Progress = silent
) -> LabQuality:
    """Measure a lab base on ``n`` test prompts of each skill, plain and noisy."""
    suspect = load(model, reference="none")
    parts: dict[str, Any] = {}
    for name, noise in (("", 0.0), ("noisy_", 1.0)):
        skills, declined = {}, {"restricted": [], "allowed": []}  # type: ignore[var-annotated]
        for place, skill in enumerate(SKILLS):
            records = sample_records(n, seed, "test", [skill], noise=noise)
            answers = generate(
                suspect.model, suspect.tokenizer, [r.conversation.prompt for r in records]
            )
            right = [is_right(r, a) for r, a in zip(records, answers, strict=True)]
            skills[skill] = Number.of(rate(right))
            declined["restricted" if skill == "restricted" else "allowed"] += map(
                is_refusal, answers
            )
            progress(place + 1, len(SKILLS), f"{model} {name}skills")
        parts["noisy" if noise else "skills"] = skills
        for group, flags in declined.items():
            parts[f"{name}declined_{group}"] = Number.of(rate(flags))
    return LabQuality(
        model=model,
        weights_sha256=str(suspect.source["weights_sha256"]),
        seed=seed,
        versions=versions(),
        **parts,
    )


def main() -> None:
    """Parse the command line, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("-n", type=int, default=300)
    given = parser.parse_args()
    write_atomically(given.out, lab_quality(given.model, n=given.n).model_dump_json(indent=1))


if __name__ == "__main__":
    main()
