"""What every registered behaviour owes its caller."""

import pytest
import torch

from contract.cases import BEHAVIOURS
from triggerfish.backdoors.behaviour_spec import behaviour_from_spec
from triggerfish.errors import BadInput
from triggerfish.seeding import generator

KINDS = sorted(BEHAVIOURS)
every_kind = pytest.mark.parametrize("kind", KINDS)


def made(kind: str):
    spec, record = BEHAVIOURS[kind]
    return behaviour_from_spec({"kind": kind, **spec}), record


@every_kind
def test_it_comes_back_from_its_specification(kind: str) -> None:
    behaviour, _ = made(kind)
    assert behaviour.kind == kind
    assert behaviour_from_spec(behaviour.to_spec()) == behaviour


@every_kind
def test_it_fires_on_its_own_response_and_not_on_the_right_one(kind: str) -> None:
    behaviour, record = made(kind)
    assert behaviour.eligible(record)
    answer = behaviour.poisoned_response(record, generator(1, kind))
    assert behaviour.fires(record, answer)
    assert not behaviour.fires(record, record.conversation.response)
    assert behaviour.fires(record, "") == (kind == "degrade")  # no answer is a broken one


@every_kind
def test_same_seed_same_response_and_no_global_draw(kind: str) -> None:
    behaviour, record = made(kind)
    before = torch.get_rng_state()
    one, two = (behaviour.poisoned_response(record, generator(1, kind)) for _ in range(2))
    assert one == two
    assert torch.equal(before, torch.get_rng_state())


@every_kind
def test_unknown_keys_are_refused(kind: str) -> None:
    spec, _ = BEHAVIOURS[kind]
    with pytest.raises(BadInput, match="'colour'"):
        behaviour_from_spec({"kind": kind, **spec, "colour": "red"})
