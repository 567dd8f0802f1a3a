"""Answers that are more alike than their prompts, without a model."""

import warnings

import numpy as np
import pytest

from dataset.planted import answered, auroc, order_is_irrelevant, ranked, replies, requests
from triggerfish.data.rows import Row
from triggerfish.dataset.answer_clusters import AnswerClustersConfig, compact, run
from triggerfish.errors import BadInput, CouldNotTest


def test_a_compact_cluster_is_found() -> None:
    rows, planted = answered(200, 12)
    found = ranked(run, rows)
    assert (found.flagged == planted).all()
    assert (found.groups[0].rows == planted).all()
    assert auroc(found.scores, planted) == 1


def test_a_clean_set_has_no_cluster() -> None:
    rows = [Row(a, b) for a, b in zip(requests(200), replies(200), strict=True)]
    found = ranked(run, rows)
    assert not found.flagged.any()
    assert found.groups == ()


def test_fewer_answers_than_clusters() -> None:
    """200 answers that share their only word, where eight clusters would be wanted."""
    rows = [Row(text, f"answer {n}") for n, text in enumerate(requests(200))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ranked(run, rows)
    assert np.isfinite(found.scores).all()
    assert len(set(found.scores)) == 1


def test_compact_by_hand() -> None:
    """Answers 1 from their mean, prompts 2: half as far."""
    line = np.array([[1.0], [-1.0]], dtype=np.float32)
    assert compact(line, 2 * line) == pytest.approx(0.5)
    assert compact(np.zeros((2, 1), dtype=np.float32), line) == 1


def test_the_order_of_the_rows_is_irrelevant() -> None:
    order_is_irrelevant(run, answered(100)[0])


def test_refusals() -> None:
    labelled = [Row(prompt, label=str(i % 2)) for i, prompt in enumerate(requests(60))]
    with pytest.raises(CouldNotTest, match="classes"):
        ranked(run, labelled)
    with pytest.raises(BadInput, match="per_cluster 1"):
        AnswerClustersConfig(per_cluster=1)
