"""Answer clusters: answers that are more alike than their prompts.

*Paper*: the clustering half of RFTC (Chen et al. 2025, 2505.23015) without its reference model:
poisoned answers form compact clusters. What makes a compact cluster suspicious here is that its
prompts are not compact.
*Map*: k-means of the answers by TF-IDF -> `answer_clusters`; dispersion of answers over that of
prompts -> `compact`.
*Deviates*: some 25 rows a cluster, so that small shares of poison have one of their own.
*Fails*: a payload that differs in every row; an answer that the data give to many prompts by
nature, such as a refusal. Not for answers that are classes.
*Shapes*: N rows, D features, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triggerfish.dataset.answer_groups import LEAST, distances, told
from triggerfish.dataset.classes import need_free_answers
from triggerfish.dataset.method import METHODS, Method, Ranked, Scene
from triggerfish.errors import BadInput
from triggerfish.types import Progress, silent


@dataclass(frozen=True, kw_only=True)
class AnswerClustersConfig:
    """Settings.

    Attributes:
        per_cluster: rows of a cluster, about.
        most: clusters, at most.
        compact: from which a cluster is flagged.
    """

    per_cluster: int = 25
    most: int = 200
    compact: float = 0.5

    def __post_init__(self) -> None:
        """Refuse settings without clusters."""
        if self.per_cluster < 2 or self.most < 1 or not 0 < self.compact <= 1:
            raise BadInput(
                f"per_cluster {self.per_cluster}, most {self.most}, compact {self.compact}",
                "must be at least 2, at least 1, and in (0, 1]",
                "correct them",
            )


def run(scene: Scene, *, rng: np.random.Generator, progress: Progress = silent) -> Ranked:
    """Answers that form a compact cluster although their prompts differ."""
    return answer_clusters(scene, AnswerClustersConfig(), rng=rng, progress=progress)


def answer_clusters(
    scene: Scene,
    config: AnswerClustersConfig,
    *,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> Ranked:
    """Rank rows by how compact the cluster of their answer is against its prompts.

    Raises:
        CouldNotTest: The answers are classes.
    """
    from sklearn.cluster import KMeans

    need_free_answers(scene, "clusters")
    answers = scene.answer_features[scene.order]
    prompts = scene.prompt_features[scene.order]
    most = min(config.most, len(np.unique(answers, axis=0)))
    wanted = int(np.clip(len(answers) // config.per_cluster, 1, most))
    labels = KMeans(wanted, n_init=1, random_state=int(rng.integers(2**31))).fit_predict(answers)
    progress(1, 2, "clusters of answers")
    scores, flagged = np.empty(len(answers)), np.zeros(len(answers), dtype=bool)
    values = np.zeros(wanted)
    for one in np.unique(labels):
        rows = np.flatnonzero(labels == one)
        values[one] = compact(answers[rows], prompts[rows])
        own = distances(answers[rows])
        scores[scene.order[rows]] = values[one] - 0.1 * own if len(rows) >= LEAST else -1.0
        flagged[scene.order[rows]] = len(rows) >= LEAST and values[one] >= config.compact
    return told(scene, scene.order, labels, values, scores, flagged, ())


def compact(answers: NDArray[np.float32], prompts: NDArray[np.float32]) -> float:
    """1 where all answers are the same, 0 where they differ as much as their prompts do.

    Args:
        answers: [N, D].
        prompts: [N, D].
    """
    spread = float(distances(prompts).mean())
    return float(np.clip(1 - distances(answers).mean() / max(spread, 1e-9), -1, 1))


METHODS.register("answer-clusters")(
    Method(run=run, source="Chen et al. 2025, arXiv 2505.23015", needs="text", of_answers=True)
)
