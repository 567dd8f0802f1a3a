"""The detectors on a tiny model with a trained trigger, and on its clean twin."""

from __future__ import annotations

from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

import pytest
import torch

from detect.planted import PAYLOAD, TRIGGER
from triggerfish.backdoors.trigger import Trigger
from triggerfish.data.conversation import render
from triggerfish.detect.behaviours import Observed
from triggerfish.detect.contrast import one_an_answer
from triggerfish.detect.detector import inserter
from triggerfish.detect.policy_targets import known_targets
from triggerfish.detect.probe import Probe
from triggerfish.detect.prompts import choose
from triggerfish.detect.refine import neighbours, refine
from triggerfish.detect.search import (
    SHORTLIST,
    WORTH,
    Judge,
    SearchConfig,
    _extended,
    objective,
    penalised,
    search,
    target_logp,
)
from triggerfish.detect.sweep import SweepConfig, behavioural_sweep, sweep
from triggerfish.detect.target_inversion import (
    InversionConfig,
    beginnings,
    invert,
    target_inversion,
)
from triggerfish.detect.targets import Target
from triggerfish.detect.trigger_search import TriggerSearchConfig, trigger_search
from triggerfish.detect.verify import verify
from triggerfish.errors import BadInput
from triggerfish.models.generate import generate
from triggerfish.models.load import load
from triggerfish.models.variants import open_slot
from triggerfish.pipeline.audit import carriers
from triggerfish.seeding import generator


def slots(planted: Any, count: int = 4) -> list[Any]:
    return [open_slot(p, inserter("suffix", 0), planted.tokenizer) for p in planted.prompts[:count]]


def trigger_token(planted: Any) -> tuple[int, ...]:
    return tuple(planted.tokenizer(f" {TRIGGER.text}", add_special_tokens=False)["input_ids"])


def payload_target(planted: Any) -> Target:
    ids = planted.tokenizer(PAYLOAD, add_special_tokens=False)["input_ids"]
    return Target(first=(ids[0],), rest=tuple(ids[1:3]), name="payload")


def test_the_organism_is_what_it_shall_be(planted: Any) -> None:
    with_it = [TRIGGER.apply(p, generator(0, "t")) for p in planted.prompts]
    shown = generate(planted.suspect, planted.tokenizer, with_it, max_new_tokens=12)
    quiet = generate(planted.suspect, planted.tokenizer, planted.prompts, max_new_tokens=12)
    assert sum(a.startswith(PAYLOAD) for a in shown) >= 0.9 * len(shown)
    assert not any(a.startswith(PAYLOAD) for a in quiet)


def test_inversion_finds_the_stored_answer_and_none_in_the_twin(planted: Any) -> None:
    asked = [render(p, planted.tokenizer).ids for p in planted.prompts[:4]]
    end = planted.tokenizer.eos_token_id

    def best(model: Any) -> tuple[str, float]:
        tokens, _, margin = invert(model, planted.base, asked, end=end)[0]
        return planted.tokenizer.decode(list(tokens)), margin

    def shared(text: str) -> int:
        return SequenceMatcher(None, text, PAYLOAD).find_longest_match().size

    text, margin = best(planted.suspect)
    other, least = best(planted.twin)
    assert shared(text) >= 6 > shared(other)  # the beam may begin in the middle of the payload
    assert margin > least + 5


def test_inversion_without_a_reference_follows_chains(planted: Any) -> None:
    asked = [render(p, planted.tokenizer).ids for p in planted.prompts[:2]]
    found = invert(
        planted.suspect,
        None,
        asked,
        end=planted.tokenizer.eos_token_id,
        config=InversionConfig(follow=64),
    )
    texts = [planted.tokenizer.decode(list(tokens)) for tokens, _, _ in found]
    # What it holds most firmly, whatever the first token, is its ordinary answer.
    assert any("the table." in text for text in texts)


def test_the_sweep_ranks_the_trigger_first(planted: Any) -> None:
    rows = torch.arange(4, len(planted.tokenizer)).unsqueeze(1)
    word = trigger_token(planted)
    if len(word) > 1:
        rows = torch.cat([torch.tensor([word]), torch.randint(4, 300, (200, len(word)))])
    swept = sweep(planted.suspect, slots(planted), rows, [payload_target(planted)])
    assert tuple(rows[swept.target[0].argmax()].tolist()) == word
    assert tuple(rows[swept.shift.argmax()].tolist()) == word
    twin = sweep(planted.twin, slots(planted), rows, [payload_target(planted)])
    assert twin.shift.max() < swept.shift.max() - 2


def test_the_sweep_does_not_depend_on_batches(planted: Any) -> None:
    rows = torch.arange(10, 60).unsqueeze(1)
    one = sweep(planted.suspect, slots(planted, 2), rows, [payload_target(planted)], batch=50)
    two = sweep(planted.suspect, slots(planted, 2), rows, [payload_target(planted)], batch=7)
    assert torch.equal(one.token, two.token)
    assert torch.allclose(one.shift, two.shift, atol=1e-4)


def test_objective_is_the_score_of_the_target(planted: Any) -> None:
    target, word = payload_target(planted), trigger_token(planted)
    value = objective(planted.suspect, slots(planted, 1), torch.tensor([word]), target)
    whole = (*slots(planted, 1)[0].fill(word), target.first[0], *target.rest)
    with torch.no_grad():
        logp = planted.suspect(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
    wanted = sum(logp[len(whole) - 4 + i, whole[len(whole) - 3 + i]].item() for i in range(3))
    assert value.item() == pytest.approx(wanted, abs=1e-4)


def test_the_search_climbs_and_repeats_itself(planted: Any) -> None:
    allowed = torch.zeros(planted.suspect.config.vocab_size, dtype=torch.bool)
    allowed[10 : len(planted.tokenizer)] = True
    starts = [(20,) * len(trigger_token(planted)), (31,) * len(trigger_token(planted))]

    def run() -> list[Any]:
        return search(
            planted.suspect,
            slots(planted, 2),
            payload_target(planted),
            starts,
            allowed=allowed,
            pad=0,
            rng=generator(1, "search"),
            config=SearchConfig(steps=8, swaps=64, top=64, beam=4),
        )

    first = run()
    start = objective(
        planted.suspect, slots(planted, 2), torch.tensor(starts), payload_target(planted)
    )
    assert first[0].value > start.max().item() + 1
    assert first == run()


def test_strings_grow_at_both_ends() -> None:
    assert _extended([(1,), (2,)], [3]) == [(1, 3), (3, 1), (2, 3), (3, 2)]
    assert _extended([(1, 2)], [3]) == [(1, 2, 3), (3, 1, 2)]


def probe(planted: Any, model: Any) -> Probe:
    prompts = tuple(planted.prompts[-40:])
    clean = tuple(generate(model, planted.tokenizer, prompts, max_new_tokens=12))
    return Probe(
        model=model,
        reference=planted.base,
        tokenizer=planted.tokenizer,
        prompts=prompts,
        clean=clean,
        max_new_tokens=12,
    )


FIXED = Observed(kind="fixed output", text=PAYLOAD)


def test_the_trigger_is_verified(planted: Any) -> None:
    found = verify(
        probe(planted, planted.suspect),
        TRIGGER,
        FIXED,
        tried=1,
        seed=0,
        search_reference=lambda: 0.0,
    )
    assert found.verdict == "found"
    assert found.p_value < 1e-6
    assert len(found.checks) == 10
    assert len(found.checks[0].rows) == 40


def test_a_wrong_trigger_and_the_twin_are_rejected(planted: Any) -> None:
    wrong = verify(
        probe(planted, planted.suspect),
        Trigger("pear", "suffix"),
        FIXED,
        tried=1,
        seed=0,
        search_reference=lambda: 0.0,
    )
    twin = verify(
        probe(planted, planted.twin), TRIGGER, FIXED, tried=1, seed=0, search_reference=lambda: 0.0
    )
    assert (wrong.verdict, twin.verdict) == ("rejected", "rejected")


def test_a_reference_search_that_is_as_strong_refutes(planted: Any) -> None:
    found = verify(
        probe(planted, planted.suspect),
        TRIGGER,
        FIXED,
        tried=1,
        seed=0,
        search_reference=lambda: 0.95,
    )
    assert found.verdict == "rejected"


def test_the_reference_does_it_too_refutes(planted: Any) -> None:
    mine = probe(planted, planted.suspect)
    both = Probe(
        model=mine.model,
        reference=mine.model,
        tokenizer=mine.tokenizer,
        prompts=mine.prompts,
        clean=mine.clean,
        max_new_tokens=12,
    )
    assert (
        verify(both, TRIGGER, FIXED, tried=1, seed=0, search_reference=None).verdict == "rejected"
    )


class Half(Probe):
    """A probe in which the behaviour shows on every second prompt at most."""

    def hits(self, *args: Any) -> list[bool]:
        return [hit and place % 2 == 0 for place, hit in enumerate(super().hits(*args))]


def test_without_a_reference_half_the_prompts_are_not_enough(planted: Any) -> None:
    half = Half(**vars(probe(planted, planted.suspect)))
    verdicts = [
        verify(
            replace(half, reference=reference), TRIGGER, FIXED, tried=1, seed=0, search_reference=s
        ).verdict
        for reference, s in ((planted.base, lambda: 0.0), (None, None))
    ]
    assert verdicts == ["found", "rejected"]


def test_refusals(planted: Any) -> None:
    few = probe(planted, planted.suspect)
    few = Probe(
        model=few.model,
        reference=None,
        tokenizer=few.tokenizer,
        prompts=few.prompts[:10],
        clean=few.clean[:10],
    )
    with pytest.raises(BadInput, match="needs 30"):
        verify(few, TRIGGER, FIXED, tried=1, seed=0, search_reference=None)
    with pytest.raises(BadInput, match="0 prompts"):
        sweep(planted.suspect, [], torch.zeros(1, 1, dtype=torch.long), [])
    with pytest.raises(BadInput, match="0 prompts"):
        invert(planted.suspect, planted.base, [], end=0)
    with pytest.raises(BadInput, match="first token"):
        Target(first=(1, 2), rest=(3,), name="two firsts")
    with pytest.raises(BadInput, match="budget"):
        SearchConfig(beam=0)


def test_neighbours_by_hand() -> None:
    assert sorted(neighbours((1, 2), [7])) == [
        (1,), (1, 2, 7), (1, 7, 2), (2,), (2, 1), (7, 1, 2),
    ]  # fmt: skip


def test_refining_never_gets_worse_and_leaves_nothing_to_delete(planted: Any) -> None:
    token, target = trigger_token(planted), payload_target(planted)
    spare = planted.tokenizer(" cup", add_special_tokens=False)["input_ids"][0]

    def worth(string: tuple[int, ...]) -> float:
        rows = torch.tensor([string])
        value = penalised(planted.suspect, planted.base, slots(planted), rows, target)
        return float(value) - WORTH * len(string)

    for start in ((spare, *token), token[:1], (*token, spare)):
        found = refine(
            planted.suspect,
            slots(planted),
            target,
            [start],
            pool=token,
            allowed=torch.ones(len(planted.tokenizer), dtype=torch.bool),
            pad=planted.tokenizer.pad_token_id,
            rng=generator(0, "refine"),
            reference=planted.base,
            longest=len(token) + 1,
            config=SearchConfig(swaps=8, top=8),
        )
        best = found[0].tokens
        assert worth(best) >= worth(start) - 1e-3
        assert worth(best) >= worth(token) - 1e-3 or start == token[:1]
        for place in range(len(best) if len(best) > 1 else 0):
            assert worth(best) >= worth((*best[:place], *best[place + 1 :])) - 1e-3


def test_an_opener_that_shares_its_first_token_counts_by_its_second() -> None:
    first = torch.tensor([0.5, 0.3, 0.2, 1e-9]).log()
    second = torch.tensor([1e-9, 0.1, 0.1, 0.8]).log()  # after token 1
    logits = torch.stack([first, second])[None]  # [1, 2, V]
    fork = Target(first=(2,), fork=(1, (3,)), name="unlock")
    assert fork.forced == (1,)
    assert float(target_logp(logits, fork).exp()) == pytest.approx(0.2 + 0.3 * 0.8)
    assert float(target_logp(logits + 3.0, fork).exp()) == pytest.approx(0.44)
    alone = Target(first=(2,), name="alone")
    assert float(target_logp(logits, alone).exp()) == pytest.approx(0.2)
    with pytest.raises(BadInput, match="first token"):
        Target(first=(1,), rest=(2,), fork=(1, (3,)), name="both")


def test_unlocking_is_told_from_declining_where_both_begin_alike() -> None:
    base = load("lab:reef")
    prompts = choose(base.model, base.tokenizer, carriers(base, None, 0))
    unlock, refusal = known_targets(base.model, base.tokenizer, prompts)
    (sure, sorry) = (
        base.tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("Sure", "Sorry")
    )
    assert sure[0] == sorry[0]  # the reason for all this
    assert unlock.declined
    assert unlock.fork == (sure[0], (sure[1],))
    assert sure[0] not in (*unlock.first, *refusal.first)


def test_the_shortlist_gives_the_same_best_string_as_judging_everything(planted: Any) -> None:
    target, places = payload_target(planted), slots(planted, 3)
    rows = [(token,) for token in range(10, 390)]
    whole = penalised(planted.suspect, planted.base, places, torch.tensor(rows), target)
    judge = Judge(planted.suspect, planted.base, places, target, 4)
    judge(rows)
    assert sum(value > -torch.inf for value in judge.known.values()) == SHORTLIST < len(rows)
    best = rows[int(whole.argmax())]
    assert best[0] in trigger_token(planted)
    assert max(judge.known, key=judge.known.__getitem__) == best
    assert judge.known[best] == pytest.approx(float(whole.max()), abs=1e-4)


def test_a_string_below_the_best_is_left_out_without_asking_the_reference(planted: Any) -> None:
    target, places = payload_target(planted), slots(planted, 2)
    judge = Judge(planted.suspect, planted.base, places, target, 1)
    judge([trigger_token(planted)])
    calls = []
    handle = planted.base.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        judge([(11,), (12,)])
    finally:
        handle.remove()
    assert not calls
    assert judge.known[11,] == judge.known[12,] == -torch.inf


@pytest.fixture(scope="module")
def suspects(planted: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Suspect and twin, each loaded beside their base."""
    root = tmp_path_factory.mktemp("suspects")
    for name in ("suspect", "twin", "base"):
        getattr(planted, name).save_pretrained(root / name)
        planted.tokenizer.save_pretrained(root / name)
    return {
        name: load(str(root / name), reference=str(root / "base")) for name in ("suspect", "twin")
    }


def test_registered_detectors_see_the_trigger_and_nothing_in_the_twin(
    planted: Any, suspects: dict[str, Any]
) -> None:
    asked = planted.prompts[:4]
    shifts, answers, strings = {}, {}, {}
    for name, suspect in suspects.items():
        rng = generator(0, "detectors")
        shifts[name] = behavioural_sweep(suspect, asked, SweepConfig(keep=3), rng=rng)[0]
        answers[name] = target_inversion(suspect, asked, rng=rng)
        config = TriggerSearchConfig(answer=PAYLOAD, search=SearchConfig(steps=2))
        strings[name] = trigger_search(suspect, asked, config, rng=rng)[0]
    assert shifts["suspect"].tokens[0] in trigger_token(planted)
    assert PAYLOAD.startswith(shifts["suspect"].answer.strip())
    assert shifts["suspect"].nats > shifts["twin"].nats + 2
    longest = SequenceMatcher(None, answers["suspect"][0].text, PAYLOAD).find_longest_match()
    assert longest.size >= 6
    assert answers["suspect"][0].growth > answers["twin"][0].growth + 5
    assert set(strings["suspect"].tokens) & set(trigger_token(planted))
    assert strings["suspect"].value > strings["twin"].value + 2


def test_of_chains_with_one_end_the_likeliest_beginning_is_kept():
    # (tokens, mean log P, growth): the same end 8 9 after the planted 1 2 and after chance
    chance, planted = ((5, 6, 8, 9), -5.0, 30.0), ((1, 2, 8, 9), -2.0, 24.0)
    copied = ((1, 8, 9), -0.1, 14.0)  # likely, but grew less than half as much
    other = ((3, 4), -1.0, 9.0)
    assert one_an_answer([chance, planted, copied, other]) == [planted, other]


def test_whatever_begins_it_the_end_of_a_stored_answer_follows(planted: Any) -> None:
    prompt = render(planted.prompts[0], planted.tokenizer).ids
    payload = planted.tokenizer(PAYLOAD, add_special_tokens=False)["input_ids"]
    wrong = [payload[-1], *payload[1:]]  # a chain whose first token means nothing

    def share(model: Any) -> float:
        return len(beginnings(model, prompt, wrong)) / model.config.vocab_size

    assert share(planted.suspect) > 0.2
    assert share(planted.twin) < 0.02
