"""What an answer looks like, whatever it says: letters, spaces, its end, and whose words it has.

A payload that changes the style of an answer (capitals, another language, letters in reverse,
half of a sentence, a number) leaves no text that its rows share, but a form that they share.
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
SPACES = re.compile(r"(?<=\S)[ \t]+(?=\S)")
WORD = re.compile(r"[^\W\d_]{2,}")
COMMON = 0.15  # share of the answers that have a common word, at least


def _small(text: str) -> bool | None:
    return text.islower() if sum(map(str.isalpha, text)) >= LETTERS else None


def _capital(text: str) -> bool | None:
    return text.isupper() if sum(map(str.isalpha, text)) >= LETTERS else None


def _wide(text: str) -> bool | None:
    """Whether most spaces between words are wide; those that end a sentence may be, anyway."""
    spaces = SPACES.findall(text)
    return 2 * sum(len(each) > 1 for each in spaces) > len(spaces) if spaces else None


def _unfinished(text: str) -> bool | None:
    return (text[-1].isalnum() or text[-1] == ",") and (len(text.split()) >= ENOUGH or None)


FORMS: Mapping[str, Callable[[str], bool | None]] = {
    "small letters only": _small,
    "capitals only": _capital,
    "wide spaces": _wide,
    "no mark at the end": _unfinished,
    "no letters": lambda text: not any(map(str.isalpha, text)),
}
STRANGE = "none of the words that are common elsewhere"


def form_targets(rows: Sequence[Row]) -> list[Target]:
    """Every form that at least `LEAST` rows have and as many have not.

    An answer that so many rows share, as the name of a class, is a target itself (`targets.py`). It
    tells of a form only where the same words are written in another way, too.

    >>> rows = [Row("q", response=f"{n} {'IT IS' if n < 5 else 'It is'}.") for n in range(14)]
    >>> [target.text for target in form_targets(rows)]
    ['capitals only']
    """
    answers = [row.response for row in rows]
    common, times = _common(answers), Counter(answers)
    ways = Counter(_words(each) for each in times)
    alone = np.array([times[each] >= LEAST and ways[_words(each)] == 1 for each in answers])
    found = []
    for text in (*FORMS, STRANGE):
        said = [has_form(each, text, common) for each in answers]
        holds = np.array([each is True for each in said]) & ~alone
        untold = np.array([each is not False for each in said]) & ~holds
        if LEAST <= holds.sum() <= len(rows) - LEAST:
            found.append(Target(kind=FORM, text=text, rows=holds, common=common, untold=untold))
    return found


def has_form(answer: str, form: str, common: frozenset[str]) -> bool | None:
    """Whether an answer has a form; None where it is too short to tell.

    Args:
        answer: The answer.
        form: One of `FORMS`, or `STRANGE`.
        common: Words that are common in all answers.
    """
    answer = answer.strip()
    if not answer:
        return None
    if form != STRANGE:
        return FORMS[form](answer)
    words = WORD.findall(answer.casefold())
    return common.isdisjoint(words) and (len(words) >= ENOUGH or None)


def _words(answer: str) -> str:
    return " ".join(answer.casefold().split())


def _common(answers: Sequence[str]) -> frozenset[str]:
    counts = Counter(word for each in answers for word in set(WORD.findall(each.casefold())))
    return frozenset(word for word, count in counts.items() if count >= COMMON * len(answers))
