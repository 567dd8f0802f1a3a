"""What the content of a text says about its target: the model that a trigger contradicts.

A word that belongs to a class agrees with the rest of its text; a trigger overrules it. So the
log-odds of the target are predicted from all words, out of fold, by logistic regression, and can be
asked again without some of the words. Copies of a text are in one fold. Where rows are many, the
regression sees all of the rarer side, up to a limit, and a sample of the other: that changes the
intercept alone, which is set so that the mean prediction is the share of the target.
*Shapes*: N texts, V words, R rows, W words that are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from triggerfish.dataset.words import Corpus

FOLDS, INVERSE_PENALTY = 5, 0.3
TRAINED, OTHERS, FEWEST = 10_000, 20, 2_000  # rows of a side, others for each, at least
STEPS = 40
FREE = 10.0  # the intercept is hardly penalised, so that common words need not stand for it


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """A prediction of one target from content.

    Attributes:
        logits: [N] log-odds of the target, out of fold.
        weights: [FOLDS, V] of each word; 0 for words that one text only has.
        fold: [N] the fold that predicted each text.
    """

    logits: NDArray[np.float64]
    weights: NDArray[np.float64]
    fold: NDArray[np.int64]

    def opposite(self) -> Content:
        """The prediction of having the target not."""
        return Content(logits=-self.logits, weights=-self.weights, fold=self.fold)

    def without(
        self, rows: NDArray[np.int64], holds: NDArray[np.bool_], words: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """[R] the log-odds of some texts without some of their words.

        Args:
            rows: [R] texts.
            holds: [R, W] whether a text has a word.
            words: [W] the words.
        """
        weights: NDArray[np.float64] = self.weights[self.fold[rows][:, None], words]
        found: NDArray[np.float64] = self.logits[rows] - (weights * holds).sum(1)
        return found


def presence(corpus: Corpus) -> csr_matrix:
    """[N, V] whether a text has a word."""
    ones = np.ones(len(corpus.ids), dtype=np.float32)
    matrix = csr_matrix(
        (ones, corpus.ids, corpus.starts), shape=(corpus.size, len(corpus.words)), copy=True
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def content_of(
    has: csr_matrix,
    target: NDArray[np.bool_],
    rng: np.random.Generator,
    copies: NDArray[np.int64] | None = None,
) -> Content:
    """Predict a target out of fold.

    Args:
        has: [N, V] words of texts.
        target: [N] whether a text has the target; both must occur at least FOLDS times.
        rng: Decides the folds, and which rows are trained on.
        copies: [N] the same texts have the same number.
    """
    from sklearn.linear_model import LogisticRegression

    common = np.flatnonzero(np.asarray(has.sum(0)).ravel() >= 2)
    known = has[:, common]
    fold = _folds(target, np.arange(len(target)) if copies is None else copies, rng)
    trained = _trained(target, rng)
    logits = np.empty(has.shape[0])
    weights = np.zeros((FOLDS, has.shape[1]))
    for part in range(FOLDS):
        rows = trained[fold[trained] != part]
        learner = LogisticRegression(
            C=INVERSE_PENALTY,
            solver="liblinear",
            dual=True,
            tol=0.05,
            random_state=part,
            intercept_scaling=FREE,
        )
        if 0 < target[rows].sum() < len(rows):
            learner.fit(known[rows], target[rows])
            logits[fold == part] = learner.decision_function(known[fold == part])
            weights[part, common] = learner.coef_[0]
        else:  # all rows of the target are copies
            logits[fold == part] = 0.0
    return Content(logits=logits + _offset(logits, target), weights=weights, fold=fold)


def _folds(
    target: NDArray[np.bool_], copies: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """[N] folds with nearly equal numbers of texts that have the target, and of the others."""
    number = np.unique(copies, return_inverse=True)[1]
    has = np.zeros(number.max() + 1, dtype=bool)
    has[number[target]] = True
    fold = np.empty(len(has), dtype=np.int64)
    for side in (True, False):
        places = rng.permutation(np.flatnonzero(has == side))
        fold[places] = np.arange(len(places)) % FOLDS
    return fold[number]


def _trained(target: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of the rarer side, up to a limit, and enough others."""
    rare = bool(target.mean() <= 0.5)
    few, many = np.flatnonzero(target == rare), np.flatnonzero(target != rare)
    few = rng.permutation(few)[:TRAINED]
    many = rng.permutation(many)[: min(TRAINED, max(FEWEST, OTHERS * len(few)))]
    return np.sort(np.concatenate([few, many]))


def _offset(logits: NDArray[np.float64], target: NDArray[np.bool_]) -> float:
    """What makes the mean prediction the share of the target."""
    low, high, wanted = -20.0, 20.0, float(target.mean())
    for _ in range(STEPS):
        middle = (low + high) / 2
        if float((1 / (1 + np.exp(-(logits + middle)))).mean()) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2
