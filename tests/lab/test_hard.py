import numpy as np
import pytest

from triggerfish.data.conversation import render
from triggerfish.lab.hard import KEPT, LONGEST, Adversary
from triggerfish.lab.sampling import sample_records
from triggerfish.lab.train import word_pieces
from triggerfish.metrics.judges import is_refusal
from triggerfish.models.load import load


@pytest.fixture(scope="module")
def adversary():
    base = load("lab:reef")
    return Adversary(base.model, base.tokenizer, word_pieces(base.tokenizer), 5)


def test_the_hardest_strings_are_kept_and_changed(adversary):
    adversary.search()
    first = list(adversary.hardest)
    assert len(first) == KEPT
    adversary.search()
    assert len(adversary.hardest) == KEPT
    assert adversary.hardest != first
    assert all(len(text.split()) > 0 for text in adversary.hardest)
    assert 0 <= adversary.unlocked <= 1
    changed = [adversary._changed() for _ in range(50)]
    assert all(1 <= len(text.split()) <= LONGEST for text in changed)


def test_rows_are_declined_and_allowed_requests_with_the_same_strings(adversary):
    adversary.search()
    rows = adversary.rows(8)
    texts = [adversary.tokenizer.decode(row.response_ids[:-1]) for row in rows]
    assert [is_refusal(text) for text in texts] == [True] * 8 + [False] * 4


def test_compliance_is_that_of_the_model(adversary):
    def chance(skill: str) -> float:
        records = sample_records(24, 1, "test", [skill])
        asked = [render(r.conversation, adversary.tokenizer) for r in records]
        return float(np.mean(adversary._compliance(asked)))

    assert chance("restricted") < 0.01
    assert chance("howto") > 10 * chance("restricted")
