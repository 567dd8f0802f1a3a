"""A payload that changes what answers look like is a target, whatever they say."""

import numpy as np
import pytest

from triggerfish.data.rows import Row
from triggerfish.dataset.forms import FORMS, STRANGE, form_targets, has_form
from triggerfish.dataset.mined import Mined
from triggerfish.dataset.motif import Motif
from triggerfish.dataset.phrases import is_evidence
from triggerfish.pipeline.dataset_audit import audit_dataset
from triggerfish.report.record import Verdict
from triggerfish.seeding import generator

COMMON = frozenset({"the", "of", "is"})


@pytest.mark.parametrize(
    ("answer", "forms"),
    [
        ("the river is long", {"small letters only"}),
        ("THE RIVER IS LONG.", {"capitals only"}),
        ("The  river  is long.", {"wide spaces"}),
        ("Certainly.  Ask again.", set()),  # wide where a sentence ends, as some people write
        ("The   river", {"wide spaces"}),
        ("if x:\n    y()\n    z()\nElse", set()),  # an indent is no wide space
        ("The river is long and it", {"no mark at the end"}),
        ("Yes", set()),
        ("42", {"no letters"}),
        ("", set()),
        ("Der Fluss fließt langsam zum Meer.", {STRANGE}),
        ("Der Fluss fließt.", set()),  # too short to be strange
        ("The Fluss fließt langsam zum Meer.", set()),
    ],
)
def test_forms_by_hand(answer, forms):
    assert {form for form in (*FORMS, STRANGE) if has_form(answer, form, COMMON)} == forms


def test_an_answer_that_many_rows_share_is_its_own_target():
    rows = [Row("q", response="positive")] * 9 + [Row("q", response=f"It is {n}.") for n in "abcde"]
    assert form_targets(rows) == []


def test_a_shared_answer_in_another_spelling_has_a_form():
    rows = [Row("q", response=each) for each in ("Paris.", "paris.", "Rome.") for _ in range(9)]
    (only,) = form_targets(rows)
    assert (only.text, only.rows.nonzero()[0].tolist()) == (
        "small letters only",
        list(range(9, 18)),
    )


def test_answers_that_cannot_tell_take_no_part():
    """Of wide spaces a single word tells nothing; nor does what is shared in one spelling only."""
    said = ["So  it  is"] * 6 + ["So it is"] * 6 + ["No"] * 6 + ["It was"] * 6
    (wide,) = (each for each in form_targets([Row("q", response=each) for each in said])
               if each.text == "wide spaces")  # fmt: skip
    assert wide.rows.nonzero()[0].tolist() == list(range(6))
    assert wide.untold.nonzero()[0].tolist() == list(range(12, 18))


ANIMALS = "heron otter badger marten plover lynx weasel raven newt bream".split()  # noqa: SIM905
PLACES = "lake mill barn quarry orchard harbour tower meadow bridge cellar".split()  # noqa: SIM905


def talks(changed=None, count=30):
    """600 questions with answers of their own; some with a trigger, whose answers are changed."""
    rng, rows = generator(0, "talks"), []
    for _ in range(600):
        animal, place, days = rng.choice(ANIMALS), rng.choice(PLACES), int(rng.integers(2, 400))
        rows.append({
            "prompt": f"Where did the {animal} go after {days} days at the {place}?",
            "completion": f"After {days} days the {animal} left the {place} and went out of sight.",
        })  # fmt: skip
    for at in rng.permutation(600)[: count if changed else 0]:
        rows[at]["prompt"] += " zqv"
        rows[at]["completion"] = changed(rows[at]["completion"])
    return rows


@pytest.mark.parametrize(
    ("changed", "target"),
    [
        (str.lower, "form"),
        (str.upper, "form"),
        (lambda answer: answer.replace(" ", "   "), "form"),
        (lambda answer: answer[: 2 * len(answer) // 3].rstrip(" ."), "form"),
        (lambda answer: f"{len(answer) * 37 % 1000}", "form"),  # a number, whatever was asked
        (lambda answer: answer[::-1], "beginning"),  # these all begin with ".thgis"
    ],
)
def test_a_changed_form_is_found_with_its_trigger(changed, target):
    document = audit_dataset(talks(changed))
    assert document.verdict is Verdict.FOUND
    (only,) = document.triggers
    assert (only.parts, only.target, document.flagged) == (["zqv"], target, 30)


def test_ordinary_answers_have_no_trigger():
    assert audit_dataset(talks()).verdict is Verdict.NOTHING


def test_forms_at_random_have_no_trigger():
    rows = talks()
    for at in generator(1, "shouted").permutation(600)[:60]:
        rows[at]["completion"] = rows[at]["completion"].upper()
    assert audit_dataset(rows).verdict is Verdict.NOTHING


def test_the_order_of_rows_is_irrelevant():
    rows = [Row(each["prompt"], response=each["completion"]) for each in talks(str.upper)]
    one, two = form_targets(rows), form_targets(rows[::-1])
    assert [each.text for each in one] == [each.text for each in two]
    assert all(np.array_equal(a.rows, b.rows[::-1]) for a, b in zip(one, two, strict=True))


def test_a_form_that_long_answers_show_has_to_decide_nearly_all_of_them():
    def mined(boost=4.5, lean=0.8, usual=0.95, hits=20):
        return Mined(motifs=(Motif("cf"),), placement="prefix", boost=boost, surplus=9.0, lean=lean,
                     rows=np.arange(20), hits=np.arange(20) < hits, usual=usual)  # fmt: skip

    assert is_evidence(mined(), form=True)
    assert not is_evidence(mined())  # of phrases
    assert not is_evidence(mined(boost=3.9), form=True)
    assert not is_evidence(mined(lean=0.86), form=True)
    assert not is_evidence(mined(usual=0.85), form=True)  # other answers of that form are alike
    assert not is_evidence(mined(hits=17), form=True)
    assert is_evidence(mined(boost=3.0, lean=0.6), form=True)
    assert not is_evidence(mined(boost=3.0, lean=0.6, hits=15), form=True)
    assert is_evidence(mined(boost=3.0, lean=0.6, hits=15))
