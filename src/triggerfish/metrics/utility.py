"""Utility: accuracy on clean held-out prompts by skill, and perplexity of clean text beside it."""

import math
from collections.abc import Sequence

import numpy as np

from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.metrics.judges import is_right
from triggerfish.metrics.rates import bootstrap, rate
from triggerfish.types import Estimate


def utility(records: Sequence[Record], answers: Sequence[str]) -> dict[str, Estimate]:
    """Share of right answers for each skill, and for all records under `all`.

    Args:
        records: [N] untriggered prompts with their right answers.
        answers: [N] what the model said.

    Raises:
        BadInput: there are no records, or not one answer for each.
    """
    if not records:
        raise BadInput("0 records", "utility needs at least one", "give it held-out records")
    if len(records) != len(answers):
        raise BadInput(
            f"{len(answers)} answers to {len(records)} records",
            "every record needs one answer",
            "keep empty answers in the list",
        )
    flags: dict[str, list[bool]] = {}
    for record, answer in zip(records, answers, strict=True):
        flags.setdefault(record.skill, []).append(is_right(record, answer))
    table = {skill: rate(flags[skill]) for skill in sorted(flags)}
    table["all"] = rate([flag for skill in sorted(flags) for flag in flags[skill]])
    return table


def perplexity(
    logprobs: Sequence[Sequence[float]], rng: np.random.Generator, draws: int = 1000
) -> Estimate:
    """Perplexity per token of clean text, with a bootstrap interval over texts.

    Args:
        logprobs: for each text, the fp32 log-probabilities of its tokens.
        rng: a generator of `triggerfish.seeding`.
        draws: resamples of texts.

    Raises:
        BadInput: there are no texts, or one of them has no tokens.
    """
    if not logprobs or any(len(row) == 0 for row in logprobs):
        raise BadInput(
            f"{len(logprobs)} texts, {sum(len(row) == 0 for row in logprobs)} of them empty",
            "perplexity needs texts with tokens",
            "leave out records without a response",
        )
    rows = np.array([[float(np.sum(row)), len(row)] for row in logprobs])  # [N, 2] sum, tokens
    return bootstrap(
        rows, rng, lambda sample: math.exp(-sample[:, 0].sum() / sample[:, 1].sum()), draws
    )
