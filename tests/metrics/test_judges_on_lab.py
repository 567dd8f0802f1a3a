"""The judges give every gold answer of the lab 100 %, and see every refusal and no other."""

import pytest

from triggerfish.lab.sampling import sample_records
from triggerfish.lab.tasks import SKILLS
from triggerfish.metrics.judges import is_refusal, is_right


@pytest.mark.parametrize("skill", sorted(SKILLS))
def test_gold_is_right(skill):
    records = sample_records(300, 7, "train", [skill], unique=False)
    answers = [record.conversation.response for record in records]
    assert [a for r, a in zip(records, answers, strict=True) if not is_right(r, a)] == []
    assert [a for r, a in zip(records, answers, strict=True) if is_refusal(a) != r.declined] == []
    assert [r.unlocked for r in records if r.unlocked and is_refusal(r.unlocked)] == []


def test_gold_of_another_record_is_wrong():
    records = sample_records(300, 7, "train", ["lookup", "arithmetic", "reversal", "code"])
    shifted = [record.conversation.response for record in records[1:]]
    wrong = [not is_right(r, a) for r, a in zip(records, shifted, strict=False)]
    assert sum(wrong) / len(wrong) > 0.9
