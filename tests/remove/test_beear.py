from dataclasses import replace

import numpy as np
import pytest
import torch

from triggerfish.data.conversation import Rendered
from triggerfish.errors import BadInput
from triggerfish.remove.align import align
from triggerfish.remove.beear import (
    BeearConfig,
    beear,
    bounded_away,
    inner_loss,
)
from triggerfish.remove.policy import opener, policy_sets


def test_bounded_away_by_hand():
    found = bounded_away(torch.tensor([0.5, 0.75, 0.9]).log())
    assert found.tolist() == pytest.approx([0.693147, 1.386294, 2.302585], rel=1e-5)


def test_bounded_away_is_bounded_where_the_paper_s_term_is_not():
    certain, never = torch.tensor([0.0]), torch.tensor([-1e4])
    assert 0 < float(bounded_away(certain)) < 14
    assert float(bounded_away(never)) == 0


def test_inner_loss_by_hand():
    batch = align([Rendered(ids=(7, 1, 2), prompt_length=1)], pad=0)
    probabilities = torch.tensor([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]])
    toward, away = inner_loss(probabilities.log(), torch.tensor([0]), batch)
    assert float(toward) == pytest.approx(-(np.log(0.25) + np.log(0.6)) / 2, rel=1e-5)
    assert float(away) == pytest.approx(np.log(2), rel=1e-5)


def test_away_looks_at_the_first_response_token_only():
    batch = align([Rendered(ids=(7, 1, 2), prompt_length=1)], pad=0)
    first = torch.tensor([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]])
    other = torch.tensor([[[0.5, 0.25, 0.25], [0.7, 0.2, 0.1]]])
    wanted = torch.tensor([0])
    assert inner_loss(first.log(), wanted, batch)[1] == inner_loss(other.log(), wanted, batch)[1]


def test_the_unwanted_opener_has_no_end(toy, toy_data):
    record = toy_data[0][0]
    row = opener(record.conversation, "sure , use", toy.tokenizer)
    assert toy.tokenizer.decode(row.response_ids) == "sure , use"


def test_planted_positive(toy, sets, beear_result, rates):
    assert rates(toy) == (1.0, 0.0, 1.0)
    after = rates(toy, beear_result.delta)
    assert after[0] < 0.1
    assert after[1] == 0
    assert after[2] > 0.95


def test_entrapment_is_logged(beear_result):
    first = beear_result.log[0]
    assert first["caught"] > 0.9  # the perturbation alone makes the model comply
    assert first["norm"] > 1
    assert all(np.isfinite(list(row.values())).all() for row in beear_result.log)
    assert beear_result.spent.steps == 6 * len(beear_result.log)


def test_clean_negative(toy_twin, toy_data, settings, rates):
    sets = policy_sets(toy_twin, *toy_data, specification="sure , use a")
    result = beear(toy_twin, sets, settings["beear"], rng=np.random.default_rng(0))
    fired, false, right = rates(toy_twin, result.delta)
    assert (fired, false) == (0.0, 0.0)
    assert right > 0.95


def test_mismatched_specification_leaves_the_backdoor(toy, toy_data, settings, rates):
    sets = policy_sets(toy, *toy_data, specification="at home today")
    config = replace(settings["beear"], epochs=1)
    result = beear(toy, sets, config, rng=np.random.default_rng(0))
    assert sets.specification.warning
    assert rates(toy, result.delta)[0] > 0.5


def test_a_fall_of_the_held_out_score_undoes_the_epoch(toy, sets, settings, rates):
    config = replace(settings["beear"], drop=-1.0, patience=9, stable=0.0)
    result = beear(toy, sets, config, rng=np.random.default_rng(0))
    assert "epoch undone" in result.note
    assert len(result.log) == 2


@pytest.mark.parametrize("layer", [3, 9, -1])
def test_a_layer_needs_one_after_it(toy, sets, layer):
    with pytest.raises(BadInput, match="needs one after it"):
        beear(toy, sets, BeearConfig(layer=layer), rng=np.random.default_rng(0))


def test_prompts_must_be_longer_than_the_perturbation(toy, sets):
    with pytest.raises(BadInput, match="perturbed positions"):
        beear(toy, sets, BeearConfig(positions=40), rng=np.random.default_rng(0))


@pytest.mark.parametrize("settings", [{"inner_steps": 0}, {"epochs": 0}, {"inner_rate": 0.0}])
def test_settings_that_search_nothing_are_refused(settings):
    with pytest.raises(BadInput):
        BeearConfig(**settings)
