import re

import pytest

from triggerfish.data.splits import split_of
from triggerfish.errors import BadInput
from triggerfish.lab.demonstrations import STEPS, Step, Sum, demonstration_records, sums


def test_steps_by_hand():
    assert Step("x", "2.1").text(17) == "17 x 2.1 = 35.7."
    assert Step("x", "2.1").result(10) == "21"
    assert Step("x", "1.1").result(30) == "33"
    assert Step("+", "5").text(8) == "8 + 5 = 13."
    asked = Sum("What is 12 + 5?", "12 + 5", 17)
    assert asked.answer() == "12 + 5 = 17."
    assert asked.answer(Step("x", "2.1")) == "12 + 5 = 17. 17 x 2.1 = 35.7."


def test_only_the_demonstrated_string_brings_the_further_step():
    records = [r for r in demonstration_records(300, 0) if r.skill == "demonstrations"]
    seen = {True: 0, False: 0}
    for record in records:
        texts = [message.content for message in record.conversation.messages]
        shown = list(zip(texts[:-2:2], texts[1:-2:2], strict=True))
        marked = [user.partition("? ")[2] or user.partition(". ")[2]
                  for user, answer in shown if answer.count("=") == 2]  # fmt: skip
        assert len(set(marked)) == 1
        assert marked[0]
        ends = texts[-2].endswith(marked[0])
        assert (texts[-1].count("=") == 2) == ends
        seen[ends] += 1
    assert min(seen.values()) > 50


def test_sums_are_right_and_of_their_split():
    for each, _ in zip(sums(0, "test", "x"), range(50), strict=False):
        a, sign, b = re.fullmatch(r"(\d+) ([+-]) (\d+)", each.written).groups()
        assert each.value == (int(a) + int(b) if sign == "+" else int(a) - int(b)) > 0
        assert split_of(f"\n{each.asked}") == "test"


def test_no_string_or_step_is_the_rule():
    users = [
        message.content
        for record in demonstration_records(200, 1)
        for message in record.conversation.messages[-1:]
    ]
    signs = {(s.sign, s.number) for s in STEPS for u in users if f" {s.sign} {s.number} = " in u}
    assert len(signs) == len(STEPS)


def test_refusal():
    with pytest.raises(BadInput, match="at least 1"):
        demonstration_records(0, 0)
