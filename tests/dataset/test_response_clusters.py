"""Answers that are all alike, and that the reference model would not give."""

import numpy as np
import pytest

from dataset.planted import answered, auroc, order_is_irrelevant, ranked, requests
from triggerfish.data.rows import Row
from triggerfish.dataset.method import Scene
from triggerfish.dataset.response_clusters import (
    ResponseClustersConfig,
    elbow,
    overlap,
    response_clusters,
    run,
)
from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models.generate import generate
from triggerfish.seeding import generator


def own_answers(suspect, n=40, planted=8):
    """Rows with the model's own answers, but for the planted ones."""
    rows, holds = answered(n, planted)
    own = generate(
        suspect.model, suspect.tokenizer, Scene(rows=rows, suspect=suspect).talks, max_new_tokens=48
    )
    return [row if row.response[:8] == "The tide" else Row(row.prompt, f"{said} it is so")
            for row, said in zip(rows, own, strict=True)], holds  # fmt: skip


def test_the_cluster_that_the_model_would_not_say_is_first(tiny_llama) -> None:
    rows, planted = answered(60, 8)
    found = ranked(run, rows, tiny_llama)
    assert found.flagged[planted].all()
    assert auroc(found.scores, planted) > 0.95
    assert (found.groups[0].rows == planted).all()


def test_answers_of_the_model_are_not_suspicious(tiny_llama) -> None:
    rows, planted = own_answers(tiny_llama)
    assert overlap(rows[-1].response, rows[-1].response) == 1
    found = ranked(run, rows, tiny_llama)
    assert found.scores[~planted].max() <= found.scores[planted].min()


def test_overlap_by_hand() -> None:
    """Of (a, b), (b, c), (c, d) one is shared; the sentence with less counts."""
    assert overlap("a b c d", "a b x") == pytest.approx(1 / 3)
    assert overlap("a b. a b c d", "a b.") == pytest.approx(1 / 3)
    assert overlap("a a a", "a a") == pytest.approx(1 / 2)  # clipped
    assert overlap("yes", "no") == 1  # no pair to compare


def test_the_elbow_counts_separate_clusters() -> None:
    rng = generator(0, "points")
    centres = np.eye(3) * 5
    points = np.concatenate([centre + 0.1 * rng.standard_normal((30, 3)) for centre in centres])
    labels = elbow(points.astype(np.float32), ResponseClustersConfig(), rng)
    assert len(set(labels.tolist())) == 3


def test_of_many_rows_drawn_ones_are_answered(tiny_llama) -> None:
    rows, _ = answered(40, 8)
    scene = Scene(rows=rows, suspect=tiny_llama)
    config = ResponseClustersConfig(rows=30)
    found = response_clusters(scene, config, rng=generator(0, "method"))
    assert np.isfinite(found.scores).sum() == 30
    assert not found.flagged[np.isnan(found.scores)].any()
    assert any("30 drawn rows of 40" in note for note in found.notes)


def test_the_order_of_the_rows_is_irrelevant(tiny_llama) -> None:
    rows, _ = answered(40, 8)
    order_is_irrelevant(run, rows, tiny_llama)


def test_refusals(tiny_llama) -> None:
    with pytest.raises(CouldNotTest, match="give --model"):
        ranked(run, answered(40)[0])
    labelled = [Row(prompt, label=str(i % 2)) for i, prompt in enumerate(requests(60))]
    with pytest.raises(CouldNotTest, match="classes"):
        ranked(run, labelled, tiny_llama)
    with pytest.raises(BadInput, match="overlap 0"):
        ResponseClustersConfig(overlap=0)
