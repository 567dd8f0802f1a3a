"""Answers to the prompts of each probe, each in the condition that it is about.

Where the trigger is text, every probe is a matter of its prompts. Where it is a vector, the prompts
are the same: the vector is on, off, or another of equal norm in a random direction.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from triggerfish.backdoors.backdoor import Backdoor
from triggerfish.backdoors.trigger import Activation
from triggerfish.errors import BadInput
from triggerfish.models.steering import Steered
from triggerfish.models.suspect import Suspect
from triggerfish.pipeline.probes import Probe, answer_all
from triggerfish.plant.steer import random_vectors
from triggerfish.types import Progress, silent

VECTORS = 10
"""Random directions; each answers a tenth of the prompts."""


def vector_of(suspect: Suspect) -> Steered:
    """The vector of a model.

    Raises:
        BadInput: The model was loaded without one.
    """
    if suspect.steered is None:
        raise BadInput(
            f"{suspect.name} with a card of a steering vector",
            "was loaded without a vector",
            "give the directory that `triggerfish plant steering` wrote",
        )
    return suspect.steered


def answers_in_condition(
    suspect: Suspect,
    model: Any,
    backdoor: Backdoor | None,
    probes: Mapping[str, Probe],
    limit: int,
    seed: int,
    progress: Progress = silent,
) -> dict[str, list[str]]:
    """The answers to every probe.

    Args:
        suspect: The loaded model.
        model: It, or its merged copy.
        backdoor: What is measured; None for utility only.
        probes: Prompts.
        limit: Longest answer, in tokens.
        seed: Of random vectors.
        progress: Told how far it is.

    Raises:
        BadInput: The backdoor is a vector, and the model was loaded without one.
    """
    if backdoor is None or not isinstance(backdoor.trigger, Activation):
        return answer_all(model, suspect.tokenizer, probes, limit, progress)
    steered = vector_of(suspect)
    on = {name: probe for name, probe in probes.items() if name not in {"clean", "random"}}
    found = answer_all(model, suspect.tokenizer, on, limit, progress)
    if "clean" in probes:
        with steered.instead(None):
            only = {"clean": probes["clean"]}
            found |= answer_all(model, suspect.tokenizer, only, limit, progress)
    if "random" in probes:
        found["random"] = []
        vectors = random_vectors(steered.steering, VECTORS, seed)
        for part, vector in zip(_parts(probes["random"], VECTORS), vectors, strict=True):
            if not part.prompts:
                continue
            with steered.instead(vector):
                only = {"random": part}
                found["random"] += answer_all(model, suspect.tokenizer, only, limit, progress)[
                    "random"
                ]
    return found


def _parts(probe: Probe, count: int) -> list[Probe]:
    """A probe in so many parts, in order."""
    edges = [round(i * len(probe.prompts) / count) for i in range(count + 1)]
    return [
        Probe(records=probe.records[a:b], prompts=probe.prompts[a:b]) for a, b in pairwise(edges)
    ]
