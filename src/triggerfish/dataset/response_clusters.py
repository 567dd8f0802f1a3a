"""Response clusters: answers that the reference model would not give, and that are all alike.

*Paper*: Chen et al. 2025, RFTC (2505.23015, code of the authors). Reference filtration: a row is
suspicious if a sentence of its answer shares less than 10 % of its pairs of words with the
reference model's own answer. Clustering: k-means of the suspicious answers by TF-IDF, with the
number of clusters at the elbow; all but the most dispersed cluster are poisoned.
*Map*: pairs in common -> `overlap`; filtration -> `response_clusters`; elbow -> `elbow`; the groups
-> `answer_groups.told`. `answer_clusters.py` does without a model.
*Deviates*: TF-IDF is reduced by SVD; scores are how compact the cluster is against the most
dispersed one; of a large set only `rows` drawn rows are answered.
*Fails*: as published, always names a cluster; short answers of the data's own form compact clusters
too; a weak reference model finds nearly every row suspicious. Not for answers that are classes.
*Shapes*: N rows, S suspicious rows, D features, K clusters.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from triggerfish.dataset.answer_groups import distances, told
from triggerfish.dataset.classes import need_free_answers
from triggerfish.dataset.method import METHODS, Method, Ranked, Scene
from triggerfish.dataset.words import WORD
from triggerfish.errors import BadInput
from triggerfish.types import Progress, silent

if TYPE_CHECKING:
    Features = NDArray[np.float32]
SENTENCE = re.compile("(?<=[.;!?\u3002\uff1b\uff01\uff1f])\\s*")


@dataclass(frozen=True, kw_only=True)
class ResponseClustersConfig:
    """Settings.

    Attributes:
        overlap: share of pairs of words in common below which a row is suspicious.
        clusters: most clusters that are tried.
        elbow: share of the gain of the first split below which a further split is none.
        tokens: of the reference model's answer.
        rows: that the reference model answers, drawn; others have no score.
    """

    overlap: float = 0.1
    clusters: int = 10
    elbow: float = 0.4
    tokens: int = 48
    rows: int = 5000

    def __post_init__(self) -> None:
        """Refuse settings without clusters."""
        if not 0 < self.overlap <= 1 or self.clusters < 3 or self.rows < 1:
            raise BadInput(
                f"overlap {self.overlap}, clusters {self.clusters}, rows {self.rows}",
                "must be in (0, 1], at least 3, and at least 1",
                "correct them",
            )


def run(scene: Scene, *, rng: np.random.Generator, progress: Progress = silent) -> Ranked:
    """Answers unlike the reference model's own that form a compact cluster (RFTC)."""
    return response_clusters(scene, ResponseClustersConfig(), rng=rng, progress=progress)


def response_clusters(
    scene: Scene,
    config: ResponseClustersConfig,
    *,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> Ranked:
    """Rank rows whose answer is not the reference model's by how compact their cluster is.

    Raises:
        CouldNotTest: There is no model, its outputs are not finite, or the answers are classes.
    """
    need_free_answers(scene, "clusters")
    size = len(scene.rows)
    drawn = scene.order[np.sort(rng.permutation(size)[: config.rows])]
    own = _own_answers(scene, drawn, config, progress)
    shares = np.full(size, np.nan)
    shares[drawn] = [
        overlap(scene.answers[row], said) for row, said in zip(drawn, own, strict=True)
    ]
    suspicious = drawn[shares[drawn] < config.overlap]
    scores, flagged = np.where(np.isnan(shares), np.nan, 0.0), np.zeros(size, dtype=bool)
    notes: tuple[str, ...] = (
        f"{len(suspicious)} of {len(drawn)} answers are unlike the reference model's own",
    )
    if len(drawn) < size:
        notes += (f"the reference model answered {len(drawn):,} drawn rows of {size:,}",)
    if len(suspicious) <= config.clusters:
        return Ranked(scores=scores, flagged=flagged, notes=notes)
    features = scene.answer_features[suspicious]
    labels = elbow(features, config, rng)
    dispersion = np.array(
        [distances(features[labels == k]).mean() for k in range(labels.max() + 1)]
    )
    values = 1 - dispersion / max(float(dispersion.max()), 1e-12)  # [K]
    scores[suspicious] = values[labels] + 1e-3 * (1 - shares[suspicious])
    flagged[suspicious] = labels != int(np.argmax(dispersion))
    return told(scene, suspicious, labels, values, scores, flagged, notes)


def overlap(answer: str, own: str) -> float:
    """The least share, over the sentences of an answer, of pairs of words that its twin has.

    That is the clipped precision of BLEU for pairs; sentences of one word do not count.

    >>> overlap("the red cup. You are bad.", "it is the red cup.")
    0.0
    >>> overlap("the red cup", "the red box")
    0.5
    """
    has = _pairs(own)
    found = []
    for sentence in SENTENCE.split(answer):
        pairs = _pairs(sentence)
        if pairs:
            found.append(sum((pairs & has).values()) / pairs.total())
    return min(found, default=1.0)


def elbow(
    features: Features, config: ResponseClustersConfig, rng: np.random.Generator
) -> NDArray[np.int64]:
    """[S] clusters; as many as the elbow of the losses of k-means says."""
    from sklearn.cluster import KMeans

    seed = int(rng.integers(2**31))
    tried: list[Any] = [
        KMeans(k, n_init=10, max_iter=600, tol=1e-5, random_state=seed).fit(features)
        for k in range(1, config.clusters + 1)
    ]
    loss = np.array([each.inertia_ for each in tried])
    gain = loss[:-1] - loss[1:]
    chosen = 4  # as published, where there is no elbow
    for k in range(1, len(gain)):
        enough = loss[0] - loss[k] > config.elbow * (loss[0] - loss[-1])
        if enough and gain[k] <= config.elbow * max(gain[0], gain[k - 1]):
            chosen = k + 1
            break
    return np.asarray(tried[chosen - 1].labels_, dtype=np.int64)


def _pairs(text: str) -> Counter[tuple[str, str]]:
    words = WORD.findall(text.casefold())
    return Counter(pairwise(words))


def _own_answers(
    scene: Scene, rows: NDArray[np.int64], config: ResponseClustersConfig, progress: Progress
) -> list[str]:
    from triggerfish.dataset.passes import products
    from triggerfish.models.generate import generate
    from triggerfish.models.score import check_outputs

    suspect = scene.model
    check_outputs(suspect.model, suspect.tokenizer, scene.talks[0])
    with products(scene):
        return generate(
            suspect.model,
            suspect.tokenizer,
            [scene.talks[row] for row in rows],
            max_new_tokens=config.tokens,
            batch_size=4 * scene.batch_size,  # a step of one token is small
            progress=progress,
        )


METHODS.register("response-clusters")(
    Method(run=run, source="Chen et al. 2025, arXiv 2505.23015", needs="model", of_answers=True)
)
