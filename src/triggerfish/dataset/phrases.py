"""Targets anywhere in an answer: phrases that answers to one word have, and no others.

A payload in the midst of answers, or in one of several wordings, has no common beginning or end.
But its phrases follow the trigger: nearly all rows with such a phrase have a certain word in their
prompts, or two marks, or a class of characters (`letters.py`). All phrases of a word together are
one target. Whether the word is a trigger is for the mining to say: a topic has phrases of its own.
Wordings that few answers have are missed, so all rows with a trigger of such a target are marked.
*Shapes*: N rows, G phrases, V words, classes and marks of prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix, hstack

from triggerfish.data.rows import Row
from triggerfish.dataset.content import presence
from triggerfish.dataset.letters import is_piece, letters_of
from triggerfish.dataset.mined import Mined
from triggerfish.dataset.targets import LEAST, PHRASES, Target
from triggerfish.dataset.words import Corpus, corpus_of, grams

WORDS = 4  # of a phrase
REPEATED = 3  # answers that a phrase stands in
PURE = 0.9  # share of these whose prompts have the word
COVERED = 0.3  # share of the rows with the word that have one of its phrases
COMMON = 0.2  # words in a larger share of the prompts are no triggers here
WORDINGS = 6  # phrases of a target; a topic has more
MOST = 128  # targets, those first that cover most of the rows with their word
BOOST, LEAN, PRECISION = 2.9, 0.7, 0.72  # of evidence: the phrases were chosen by the word
DECIDED, LONG = 4.0, 0.85  # boost and lean of a form that long answers show
SEPARATOR = " \u00b7 "


def phrase_targets(rows: Sequence[Row]) -> list[Target]:
    """The phrases of each word of the prompts, for the words that have the most rows with them.

    A row that is there twice counts once.
    """
    if not any(row.response for row in rows):
        return []
    number = {said: place for place, said in enumerate(dict.fromkeys(map(_said, rows)))}
    copy_of = np.array([number[_said(row)] for row in rows])  # [N] of which of the different ones
    found = _of_different([rows[place] for place in np.unique(copy_of, return_index=True)[1]])
    return [replace(target, rows=target.rows[copy_of]) for target in found]


def _said(row: Row) -> tuple[str, str, str]:
    return row.system, row.prompt, row.response


def _of_different(rows: Sequence[Row]) -> list[Target]:
    has = _words(rows)  # [N, V]
    phrases, names = _phrases(rows)  # [N, G]
    together = (phrases.T @ has).tocoo()  # [G, V] rows with both
    count = np.asarray(phrases.sum(0)).ravel()
    pure = (together.data >= REPEATED) & (together.data >= PURE * count[together.row])
    phrase, word = together.row[pure], together.col[pure]
    if not len(word):
        return []
    order = np.argsort(word, kind="stable")
    words, begins = np.unique(word[order], return_index=True)
    found: dict[bytes, tuple[float, int, Target]] = {}
    for place, own in zip(words, np.split(phrase[order], begins[1:]), strict=True):
        own, holds = _wordings(phrases, np.array(sorted(own, key=names.__getitem__)))
        with_word = has.indices[has.indptr[place] : has.indptr[place + 1]]
        both = int(holds[with_word].sum())
        if both < LEAST or both < COVERED * len(with_word):
            continue
        text = SEPARATOR.join(names[each] for each in own)
        known = found.get(holds.tobytes())
        covered = both / len(with_word)
        if known is None or known[0] < covered:
            found[holds.tobytes()] = covered, both, Target(kind=PHRASES, text=text, rows=holds)
    ranked = sorted(found.values(), key=lambda each: (-each[0], -each[1], each[2].text))
    return [target for _, _, target in ranked[:MOST]]


def _wordings(
    phrases: csc_matrix, own: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The few phrases that most rows have, and [N] whether a row has one of them."""
    some = phrases[:, own]
    rows = np.unique(some.indices)  # [R] few of all
    has = some.tocsr()[rows].toarray().astype(bool)  # [R, phrases of the word]
    found = np.zeros(len(rows), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < WORDINGS and (gain := has[~found].sum(0)).any():
        chosen.append(int(gain.argmax()))
        found |= has[:, chosen[-1]]
    holds = np.zeros(phrases.shape[0], dtype=bool)
    holds[rows[found]] = True
    return own[chosen], holds


def is_evidence(mined: Mined, form: bool = False) -> bool:
    """Whether a trigger of phrases may be one: its rows are any rows, and not those of a topic.

    Args:
        mined: It.
        form: Whether its target is a form. That shows in the rows with long answers, which are not
            any rows; but of those that tell it has to decide nearly all.
    """
    precise = float(mined.hits.mean())
    if not form:
        return mined.boost >= BOOST and mined.lean <= LEAN and precise >= PRECISION
    least = BOOST if mined.lean <= LEAN else DECIDED
    return mined.boost >= least and mined.lean <= LONG and precise >= PURE and not mined.agreed


def has_phrase(answer: str, text: str) -> bool:
    """Whether an answer has one of the phrases of a target.

    >>> has_phrase("So it is: the tide is high.", "the tide is high")
    True
    """
    said = f" {_spaced(answer)} "
    return any(f" {phrase} " in said for phrase in text.split(SEPARATOR))


def _spaced(text: str) -> str:
    corpus = corpus_of([text.casefold()])
    return " ".join(corpus.words[number] for number in corpus.ids)


def _words(rows: Sequence[Row]) -> csc_matrix:
    """[N, V] words, classes of characters, and two marks, that are neither rare nor common."""
    texts = [f"{row.system}\n{row.prompt}" for row in rows]
    corpus = corpus_of(texts)
    has = presence(corpus)
    names, within = letters_of(texts, corpus, has, LEAST)
    whole = [place for place, name in enumerate(names) if not is_piece(name)]
    every = csc_matrix(hstack([has, within[:, whole], _marks(corpus)]))
    count = np.asarray(every.sum(0)).ravel()
    return every[:, (count >= LEAST) & (count <= COMMON * len(rows))].astype(np.int32)


def _marks(corpus: Corpus) -> csr_matrix:
    """[N, M] runs of two marks."""
    keys, places = grams(corpus, 2)
    mark = np.array([not word[0].isalnum() for word in corpus.words], dtype=bool)
    both = mark[corpus.ids[places]] & mark[corpus.ids[places + 1]]
    runs, number = np.unique(keys[both], return_inverse=True)
    text, run = np.unique(np.stack([corpus.text_of()[places[both]], number]), axis=1)
    return csr_matrix((np.ones(len(text), dtype=np.float32), (text, run)), (corpus.size, len(runs)))


def _phrases(rows: Sequence[Row]) -> tuple[csc_matrix, list[str]]:
    """[N, G] the phrases of the answers that several have, and their texts.

    One that stands in the row's own prompt is an echo, and does not count.
    """
    size = len(rows)
    both = [*(row.response.casefold() for row in rows), *(row.prompt.casefold() for row in rows)]
    corpus = corpus_of(both)
    keys, places = grams(corpus, WORDS)
    numbers, first, key = np.unique(keys, return_index=True, return_inverse=True)
    text = corpus.text_of()[places]
    said, asked = (
        np.unique(key[part] * np.int64(size) + text[part] % size)
        for part in (text < size, text >= size)
    )
    said = np.setdiff1d(said, asked, assume_unique=True)
    row, phrase = said % size, said // size
    kept = np.bincount(phrase, minlength=len(numbers)) >= REPEATED
    names = [_text(corpus, int(places[first[each]])) for each in np.flatnonzero(kept)]
    return _matrix(row, phrase, kept, size), names


def _text(corpus: Corpus, place: int) -> str:
    return " ".join(corpus.words[number] for number in corpus.ids[place : place + WORDS])


def _matrix(
    row: NDArray[np.int64], column: NDArray[np.int64], kept: NDArray[np.bool_], size: int
) -> csc_matrix:
    """[size, kept columns] with ones."""
    inside = kept[column]
    number = np.cumsum(kept) - 1
    data = np.ones(int(inside.sum()), dtype=np.int32)
    return csc_matrix((data, (row[inside], number[column[inside]])), (size, int(kept.sum())))
