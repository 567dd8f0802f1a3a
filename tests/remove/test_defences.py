"""What every registered defence owes its caller."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.remove import beear as _beear  # noqa: F401 - registers
from triggerfish.remove import clean_finetune as _clean  # noqa: F401 - registers
from triggerfish.remove.defence import DEFENCES
from triggerfish.remove.delta import applied

NAMES = ("beear", "clean-finetune")


def run(name, suspect, sets, settings, seed=0):
    return DEFENCES.get(name)(suspect, sets, settings[name], rng=np.random.default_rng(seed))


def test_all_registered_defences_are_tested():
    assert set(DEFENCES.names()) >= set(NAMES)


def test_an_unknown_defence_is_refused_with_a_suggestion():
    with pytest.raises(BadInput, match=r"(?i)did you mean 'beear'"):
        DEFENCES.get("bear")


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bits_and_the_suspect_is_unchanged(name, toy, sets, settings):
    model = toy.model
    before = [p.detach().clone() for p in model.parameters()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    numbers = np.random.get_state()[1].copy()  # noqa: NPY002 - it must not move
    draws = torch.get_rng_state()
    first, second = (run(name, toy, sets, settings) for _ in range(2))
    other = run(name, toy, sets, settings, seed=1)
    assert all(torch.equal(first.delta.tensors[k], v) for k, v in second.delta.tensors.items())
    assert first.delta.norm == second.delta.norm != other.delta.norm
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    assert not any(module.training for module in model.modules())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert torch.equal(draws, torch.get_rng_state())
    assert (numbers == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_changed(name, toy, sets, settings):
    result = run(name, toy, sets, settings)
    assert result.method == name
    assert result.delta.norm > 0
    assert 0 < result.delta.relative < 1
    assert result.changed > 0
    assert result.seconds > 0
    json.dumps({**result.config, "log": result.log})
    with applied(toy.model, result.delta):
        moved = sum(
            float((p.double() - result.delta.tensors[n].double()).abs().sum())
            for n, p in toy.model.named_parameters()
        )
    assert moved == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_defence_that_changed_nothing_fails(name, toy, sets, settings):
    config = settings[name]
    tiny = replace(config, budget=replace(config.budget, rate=1e-30))
    with pytest.raises(CouldNotTest, match="change 0"):
        DEFENCES.get(name)(toy, sets, tiny, rng=np.random.default_rng(0))


@pytest.mark.parametrize("name", NAMES)
def test_nan_weights_are_refused_and_restored(name, toy, sets, settings):
    weight = toy.layout.final_norm(toy.model).weight
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight[0] = float("nan")
        with pytest.raises(CouldNotTest):
            run(name, toy, sets, settings)
        assert torch.equal(weight[1:], before[1:])
    finally:
        with torch.no_grad():
            weight.copy_(before)
