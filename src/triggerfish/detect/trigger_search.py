"""The detector `trigger-search`: strings that force a given answer on the suspect alone.

It is `search.grow` for one answer; the audit searches for many, and verifies what it finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from triggerfish.backdoors.trigger import Placement
from triggerfish.data.conversation import Conversation, render
from triggerfish.detect.detector import DETECTORS, opened, slots_at, usable_tokens
from triggerfish.detect.search import Candidate, SearchConfig, grow, objective
from triggerfish.detect.targets import Target
from triggerfish.types import Progress, silent


@dataclass(frozen=True, kw_only=True)
class TriggerSearchConfig:
    """Settings of the detector.

    Attributes:
        answer: What the string shall force: the beginning of an answer.
        placement: Where the string is inserted.
        pool: How many single tokens phrases are grown from.
        lengths: Of the phrases, in tokens.
        search: Budget of each length.
    """

    answer: str
    placement: Placement = "suffix"
    pool: int = 40
    lengths: tuple[int, ...] = (2,)
    search: SearchConfig = field(default_factory=SearchConfig)


@DETECTORS.register("trigger-search")
def trigger_search(
    suspect: Any,
    prompts: Sequence[Conversation],
    config: TriggerSearchConfig,
    *,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> tuple[Candidate, ...]:
    """Search strings that force an answer on the suspect and not on its reference, best first.

    Raises:
        BadInput: No prompts, or an empty answer.
        CouldNotTest: The model's outputs are not finite.
    """
    tokenizer = suspect.tokenizer
    with opened(suspect, prompts) as (model, reference, ordered):
        slots = slots_at(ordered, config.placement, tokenizer)
        talk = ordered[0].with_response(config.answer)
        forced = render(talk, tokenizer).response_ids[:3]
        target = Target(first=forced[:1], rest=forced[1:], name=f"output {config.answer!r}")
        allowed = usable_tokens(model, tokenizer)
        rows = allowed.nonzero()  # [C, 1]
        order = objective(model, slots[:1], rows, target).argsort(descending=True)
        found = grow(
            model,
            slots,
            target,
            rows[order[: config.pool], 0].tolist(),
            config.lengths,
            allowed=allowed,
            pad=tokenizer.pad_token_id or 0,
            rng=rng,
            reference=reference,
            config=config.search,
            progress=progress,
        )
    return tuple(found)
