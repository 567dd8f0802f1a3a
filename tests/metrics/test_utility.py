import math

import pytest

from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.metrics.utility import perplexity, utility
from triggerfish.seeding import generator


def record(skill, answer):
    return Record(
        conversation=Conversation.of("q", response=answer), skill=skill, answers=(answer,)
    )


def test_by_skill():
    records = [record("a", "1"), record("b", "2"), record("a", "3"), record("a", "4")]
    table = utility(records, ["1", "Sure, 2.", "", "The answer is 4."])
    assert table["a"].value == pytest.approx(2 / 3)
    assert table["b"].value == 1
    assert table["all"].value == pytest.approx(3 / 4)
    assert table["all"].n == 4


def test_order_does_not_matter():
    records = [record("a", "1"), record("b", "2"), record("a", "3")]
    answers = ["1", "no", "3"]
    assert utility(records, answers) == utility(records[::-1], answers[::-1])


def test_perplexity_by_hand():
    # Three tokens with log-probabilities -1, -2, -3 in two texts: exp(6 / 3).
    found = perplexity([[-1.0, -2.0], [-3.0]], generator(0, "p"))
    assert found.value == pytest.approx(math.exp(2.0))
    assert found.n == 2


def test_refuses():
    with pytest.raises(BadInput):
        utility([], [])
    with pytest.raises(BadInput):
        utility([record("a", "1")], [])
    with pytest.raises(BadInput):
        perplexity([], generator(0, "p"))
    with pytest.raises(BadInput):
        perplexity([[-1.0], []], generator(0, "p"))
