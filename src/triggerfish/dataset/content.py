"""What the content of a text says about its target: the model that a trigger contradicts.

A word that belongs to a class agrees with the rest of its text; a trigger overrules it. So the
log-odds of the target are predicted from all words, out of fold, by logistic regression, and can be
asked again without some of the words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from triggerfish.dataset.words import Corpus

FOLDS, INVERSE_PENALTY = 5, 0.3


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


def content_of(has: csr_matrix, target: NDArray[np.bool_], rng: np.random.Generator) -> Content:
    """Predict a target out of fold.

    Args:
        has: [N, V] words of texts.
        target: [N] whether a text has the target; both must occur at least FOLDS times.
        rng: Decides the folds.
    """
    from sklearn.linear_model import LogisticRegression

    common = np.flatnonzero(np.asarray(has.sum(0)).ravel() >= 2)
    known = has[:, common]
    fold = np.empty(has.shape[0], dtype=np.int64)
    for side in (True, False):
        places = rng.permutation(np.flatnonzero(target == side))
        fold[places] = np.arange(len(places)) % FOLDS
    logits = np.empty(has.shape[0])
    weights = np.zeros((FOLDS, has.shape[1]))
    for part in range(FOLDS):
        learner = LogisticRegression(C=INVERSE_PENALTY, max_iter=100, tol=1e-3)
        learner.fit(known[fold != part], target[fold != part])
        logits[fold == part] = learner.decision_function(known[fold == part])
        weights[part, common] = learner.coef_[0]
    return Content(logits=logits, weights=weights, fold=fold)
