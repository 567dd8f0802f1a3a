"""What an answer looks like, whatever it says: letters, spaces, its end, and whose words it has.

A payload that changes the style of an answer (capitals, another language, letters in reverse,
half of a sentence) leaves no text that its rows share, but a form that they share.
*Shapes*: N rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from triggerfish.data.rows import Row
from triggerfish.dataset.targets import FORM, LEAST, Target

LETTERS = 4  # of an answer that has a case
ENOUGH = 6  # words of a sentence
SPACES = re.compile(r"\S[ \t]{2,}(?=\S)")
WORD = re.compile(r"[^\W\d_]{2,}")
COMMON = 0.15  # share of the answers that have a common word, at least


def _letters(text: str) -> int:
    return sum(letter.isalpha() for letter in text)


def _unfinished(text: str) -> bool:
    return (text[-1].isalnum() or text[-1] == ",") and len(text.split()) >= ENOUGH


FORMS: Mapping[str, Callable[[str], bool]] = {
    "small letters only": lambda text: text.islower() and _letters(text) >= LETTERS,
    "capitals only": lambda text: text.isupper() and _letters(text) >= LETTERS,
    "wide spaces": lambda text: len(SPACES.findall(text)) >= 2,
    "no mark at the end": _unfinished,
}
STRANGE = "none of the words that are common elsewhere"


def form_targets(rows: Sequence[Row]) -> list[Target]:
    """Every form that at least `LEAST` rows have and as many have not.

    Answers that so many rows share word for word, as the names of classes, are targets themselves
    (`targets.py`), and their form is none.

    >>> rows = [Row("q", response=f"{n} {'IT IS' if n < 5 else 'It is'}.") for n in range(14)]
    >>> [target.text for target in form_targets(rows)]
    ['capitals only']
    """
    answers = [row.response for row in rows]
    common, times = _common(answers), Counter(answers)
    found = []
    for text in (*FORMS, STRANGE):
        holds = [times[each] < LEAST and has_form(each, text, common) for each in answers]
        if LEAST <= sum(holds) <= len(rows) - LEAST:
            found.append(Target(kind=FORM, text=text, rows=np.array(holds), common=common))
    return found


def has_form(answer: str, form: str, common: frozenset[str]) -> bool:
    """Whether an answer has a form.

    Args:
        answer: The answer.
        form: One of `FORMS`, or `STRANGE`.
        common: Words that are common in all answers.
    """
    answer = answer.strip()
    if not answer:
        return False
    if form != STRANGE:
        return FORMS[form](answer)
    words = WORD.findall(answer.casefold())
    return len(words) >= ENOUGH and common.isdisjoint(words)


def _common(answers: Sequence[str]) -> frozenset[str]:
    counts = Counter(word for each in answers for word in set(WORD.findall(each.casefold())))
    return frozenset(word for word, count in counts.items() if count >= COMMON * len(answers))
