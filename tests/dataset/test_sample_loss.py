"""Answers that the reference model would not give have a high loss, within their class."""

import numpy as np
import pytest

from dataset.planted import (
    answered,
    auroc,
    batch_size_is_irrelevant,
    likely_and_unlikely,
    order_is_irrelevant,
    ranked,
    requests,
)
from triggerfish.data.conversation import render
from triggerfish.data.rows import Row
from triggerfish.dataset.method import Scene
from triggerfish.dataset.passes import TOKENS, forward, tokens_of
from triggerfish.dataset.sample_loss import SampleLossConfig, run, within
from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models.activations import residuals
from triggerfish.models.score import mean_logprob
from triggerfish.models.training import mixed_precision


def answers(suspect, n=40, planted=4):
    """Replies that the model finds likely; those of the first rows it does not."""
    prompts = requests(n)
    both = likely_and_unlikely(suspect, prompts)
    return [
        Row(prompt, each[i < planted])
        for i, (prompt, each) in enumerate(zip(prompts, both, strict=True))
    ], np.arange(n) < planted


def test_answers_of_another_kind_are_found(tiny_llama) -> None:
    rows, planted = answers(tiny_llama)
    found = ranked(run, rows, tiny_llama)
    assert auroc(found.scores, planted) > 0.95
    assert all("nats a token" in found.reasons[int(row)] for row in np.flatnonzero(found.flagged))


def test_a_clean_set_has_few_outliers(tiny_llama) -> None:
    rows, _ = answers(tiny_llama, planted=0)
    assert ranked(run, rows, tiny_llama).flagged.mean() <= 0.05


def test_the_loss_is_that_of_the_scorer(tiny_llama) -> None:
    rows, _ = answered(8, 2)
    scene = Scene(rows=rows, suspect=tiny_llama)
    rendered = [render(talk, tiny_llama.tokenizer) for talk in scene.talks]
    expected = -mean_logprob(tiny_llama.model, rendered).double().numpy()
    np.testing.assert_allclose(forward(scene).loss, expected, rtol=1e-4)


def test_the_states_are_those_of_the_prompt(tiny_llama) -> None:
    rows, _ = answered(8, 2)
    scene = Scene(rows=rows, suspect=tiny_llama)
    middle = residuals(tiny_llama.model, tiny_llama.tokenizer, scene.talks, [1])[:, 0]
    np.testing.assert_allclose(forward(scene).middle, middle.numpy(), rtol=1e-3, atol=1e-5)


def test_the_forward_runs_once(tiny_llama) -> None:
    scene = Scene(rows=answered(8, 2)[0], suspect=tiny_llama)
    assert forward(scene) is forward(scene)


def test_fast_products_change_little(tiny_llama) -> None:
    rows = answered(40, 4)[0]
    exact, fast = (
        forward(Scene(rows=rows, suspect=tiny_llama, fast=fast)).loss for fast in (False, True)
    )
    assert (exact != fast).any() == mixed_precision()
    np.testing.assert_allclose(fast, exact, atol=0.1)


def test_long_rows_keep_the_end_of_the_prompt_and_the_beginning_of_the_answer(tiny_llama) -> None:
    rows = [Row("a b " * 300 + "end", "start " + "c d " * 300), Row("hi", "ho")]
    scene = Scene(rows=rows, suspect=tiny_llama)
    long, short = tokens_of(scene.talks, scene)
    whole = render(scene.talks[0], tiny_llama.tokenizer)
    most = min(TOKENS, tiny_llama.layout.context)
    assert (long.cut, short.cut) == (True, False)
    assert len(long.ids) == most
    assert long.prompt == most // 2
    assert long.ids[long.prompt - 1] == whole.prompt_ids[-1]
    assert long.ids[long.prompt] == whole.response_ids[0]
    assert any("1 rows were cut" in note for note in forward(scene).notes)


def test_within_a_class_by_hand() -> None:
    """Median 2, middle deviation 1: 5 is 3 / 1.4826 = 2.02 above; the other class is alone."""
    values = np.array([1.0, 2.0, 3.0, 1.0, 5.0, 100.0])
    found = within(values, np.array([0, 0, 0, 0, 0, 1]))
    assert found[4] == pytest.approx(2.0235, abs=1e-4)
    assert found[5] == 0


def test_a_label_is_compared_with_its_own_class(tiny_llama) -> None:
    rows = [Row(prompt, label="ab"[i % 2]) for i, prompt in enumerate(requests(40))]
    scores = ranked(run, rows, tiny_llama).scores
    assert np.median(scores[::2]) == pytest.approx(0)
    assert np.median(scores[1::2]) == pytest.approx(0)


def test_order_and_batch_size_are_irrelevant(tiny_llama) -> None:
    rows, _ = answered(30, 4)
    order_is_irrelevant(run, rows, tiny_llama)
    batch_size_is_irrelevant(run, rows, tiny_llama)


def test_refusals(tiny_llama) -> None:
    with pytest.raises(CouldNotTest, match="give --model"):
        ranked(run, answered(8, 2)[0])
    with pytest.raises(BadInput, match="0 rows"):
        ranked(run, [], tiny_llama)
    with pytest.raises(BadInput, match="deviations 0"):
        SampleLossConfig(deviations=0)
