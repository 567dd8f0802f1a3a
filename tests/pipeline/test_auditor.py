"""The parts of an audit, one by one, on the tiny organism."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from detect.planted import PAYLOAD, TRIGGER, planted
from triggerfish.detect.behaviours import Observed
from triggerfish.detect.targets import Target
from triggerfish.models.load import load
from triggerfish.pipeline.audit import PRESETS
from triggerfish.pipeline.auditor import ENOUGH, SURE_CHAIN, Assessed, Auditor
from triggerfish.pipeline.hunt import Hunt, Lead
from triggerfish.types import silent

__all__ = ["planted"]  # a fixture


@pytest.fixture(scope="module")
def suspect(planted: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("auditor")
    for name in ("suspect", "base"):
        getattr(planted, name).save_pretrained(root / name)
        planted.tokenizer.save_pretrained(root / name)
    return load(str(root / "suspect"), reference=str(root / "base"))


@pytest.fixture
def auditor(suspect: Any) -> Iterator[Auditor]:
    with ExitStack() as stack:
        yield Auditor(suspect, PRESETS["quick"], None, silent, stack)


def hunt_of(auditor: Auditor, prompts: Any) -> Hunt:
    return Hunt(
        auditor.model,
        auditor.tokenizer,
        prompts,
        auditor.config,
        step=auditor.step,
        reference=auditor.reference,
    )


def lead(planted: Any, place: str) -> Lead:
    ids = tuple(planted.tokenizer(f" {TRIGGER.text}", add_special_tokens=False)["input_ids"])
    target = Target(first=(ids[0],), name="anything")
    return Lead(tokens=ids, text=TRIGGER.text, place=place, target=target, value=0.0)  # type: ignore[arg-type]


def test_a_weak_lead_is_tried_in_other_places(planted: Any, auditor: Auditor) -> None:
    prompts = auditor.prompts(planted.prompts)
    seen = Observed(kind="fixed output", text=PAYLOAD)
    weak = Assessed(lead=lead(planted, "system"), observed=seen, share=0.25)
    moved = auditor.elsewhere(weak, prompts)
    assert moved.share >= ENOUGH
    assert moved.lead.place in ("suffix", "both_ends")
    strong = replace(weak, share=1.0)
    assert auditor.elsewhere(strong, prompts) is strong


def test_a_fixed_answer_is_tried_on_ordinary_prompts(planted: Any, auditor: Auditor) -> None:
    hunt = hunt_of(auditor, auditor.prompts(planted.prompts))
    seen = Observed(kind="fixed output", text=PAYLOAD)
    found = auditor.on_ordinary_prompts(
        hunt, Assessed(lead=lead(planted, "suffix"), observed=seen, share=1.0)
    )
    assert found is not None
    assert found.share >= ENOUGH
    assert not found.lead.target.declined
    first = planted.tokenizer.decode(list(found.lead.target.first))
    assert PAYLOAD.startswith(first.strip())
    nothing = replace(hunt.prompts, allowed=None)
    hunt.prompts = nothing
    assert auditor.on_ordinary_prompts(
        hunt, Assessed(lead=lead(planted, "suffix"), observed=seen, share=1.0)
    ) is None  # fmt: skip


def test_every_place_is_swept_before_what_may_be_left_out(planted: Any, auditor: Auditor) -> None:
    auditor.config = replace(auditor.config, further=("system",))
    prompts = auditor.prompts(planted.prompts)
    hunt = hunt_of(auditor, prompts)
    flags = [needed for needed, _ in auditor.plan(hunt, auditor.targets(prompts))]
    assert flags == sorted(flags, reverse=True)
    assert {True, False} <= set(flags)
    assert list(auditor.looked) == ["suffix", "prefix", "system"]


@pytest.mark.parametrize("score", [SURE_CHAIN, SURE_CHAIN - 1])
def test_a_sure_stored_answer_is_searched_first(
    planted: Any, auditor: Auditor, monkeypatch: pytest.MonkeyPatch, score: float
) -> None:
    hunt = hunt_of(auditor, auditor.prompts(planted.prompts))
    hunt.prompts = replace(hunt.prompts, declined=hunt.prompts.allowed)
    swept: list[bool] = []

    def remember(hunt: Any, targets: Any, place: str, declined: bool) -> Any:
        swept.append(declined)
        return [], []

    monkeypatch.setattr(auditor, "swept", remember)
    list(auditor.plan(hunt, [Target(first=(1,), name="output", score=score)]))
    assert set(swept) == {True, False}
    assert swept[0] is (score < SURE_CHAIN)


def test_a_presets_budget_does_not_leave_places_out(planted: Any, auditor: Auditor) -> None:
    auditor.config = replace(auditor.config, seconds=0.0)
    verified = auditor.examine(planted.prompts, thorough=False)
    assert [v.verdict for v in verified[:1]] == ["found"]
    auditor.config = replace(auditor.config, further=("system",))
    auditor.looked.clear()
    hunt = hunt_of(auditor, auditor.prompts(planted.prompts))
    list(auditor.plan(hunt, auditor.targets(hunt.prompts)))
    assert list(auditor.looked) == ["suffix", "prefix"]  # late: no further ones
