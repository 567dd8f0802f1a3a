"""The trained tiny organism, made once a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from detect.planted import Planted, question, train
from triggerfish.seeding import generator


@pytest.fixture(scope="session")
def planted(tiny_suspect: Callable[..., Any]) -> Planted:
    base = tiny_suspect("llama", seed=5)
    start = train(base.model, base.tokenizer, 60, poisoned=False)
    rng = generator(9, "prompts")
    prompts = list(dict.fromkeys(question(rng)[0] for _ in range(60)))
    return Planted(
        suspect=train(start, base.tokenizer, 140, poisoned=True),
        twin=train(start, base.tokenizer, 60, poisoned=False),
        base=start,
        tokenizer=base.tokenizer,
        prompts=prompts,
    )
