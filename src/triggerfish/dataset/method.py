"""What a method of the data audit is, what it sees, and the registry of them.

A method is a function `(scene, *, rng, progress) -> Ranked`. It ranks rows by suspicion and may
name groups of rows that seem to belong together. It decides nothing: the pipeline calibrates its
scores, and looks for a trigger behind its groups.
*Shapes*: N rows, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from triggerfish.data.conversation import Conversation
from triggerfish.data.rows import Row
from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.registry import Registry
from triggerfish.types import Progress, silent

Needs = Literal["text", "model", "gradients"]
CLASSES = 64  # more different labels are no classes


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Rows that seem to belong together.

    Attributes:
        text: What they have in common, in words.
        rows: [N] whether a row belongs to it.
    """

    text: str
    rows: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranked:
    """What a method says of every row.

    Attributes:
        scores: [N] the higher, the more suspicious; nan where it has no opinion of a row.
        flagged: [N] rows that the published rule picks.
        reasons: Of flagged rows, in words.
        groups: What it found to belong together, the most suspicious first.
        seen: [N, D] what pictures may be drawn of.
        notes: What was left out or could not be done, for the report.
    """

    scores: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    reasons: Mapping[int, str] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    seen: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse infinities and shapes that differ.

        Raises:
            ValueError: A method is wrong.
        """
        if self.scores.shape != self.flagged.shape or self.scores.ndim != 1:
            raise ValueError(f"scores {self.scores.shape}, flagged {self.flagged.shape}")
        if np.isinf(self.scores).any():
            raise ValueError("a score is infinite")


class Run(Protocol):
    """The function of a method."""

    def __call__(
        self, scene: Scene, *, rng: np.random.Generator, progress: Progress = silent
    ) -> Ranked:
        """Rank the rows of a scene."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A registered method.

    Attributes:
        run: Its function.
        source: Paper or library.
        needs: The least preset that has it: text (quick), model (standard), gradients (deep).
        for_pairs: Whether it is for preference pairs, and for nothing else.
        of_answers: Whether its groups are of answers: only then is a string in prompts that
            predicts a group evidence of a trigger, and not what the group was made by.
    """

    run: Run
    source: str
    needs: Needs
    for_pairs: bool = False
    of_answers: bool = False


METHODS: Registry[Method] = Registry("dataset method", "triggerfish.dataset_methods")


@dataclass(kw_only=True, eq=False)
class Scene:
    """What methods look at; what is computed once is kept.

    Attributes:
        rows: Rows with a prompt, and an answer or a label.
        suspect: A small reference model, loaded (`models.suspect.Suspect`); None with preset quick.
        batch_size: Rows in a forward; makes no difference to the result (in fp32).
        fast: Whether products may be in bf16, where the processor multiplies faster so.
        seed: Of features that are drawn.
        shared: What methods compute once and share, by name (see `passes.py`).

    Raises:
        BadInput: There are no rows.
    """

    rows: Sequence[Row]
    suspect: Any = None
    batch_size: int = 32
    fast: bool = False
    seed: int = 0
    shared: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse an empty set."""
        if not len(self.rows):
            raise BadInput("0 rows", "there must be at least one", "give more data")

    @property
    def model(self) -> Any:
        """The reference model with its tokenizer.

        Raises:
            CouldNotTest: There is none.
        """
        if self.suspect is None:
            raise CouldNotTest("a method that reads a model", "has none", "give --model")
        return self.suspect

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """[N] the rows sorted by what they say.

        What draws or clusters takes them in this order: that of the file is irrelevant.
        """
        said = list(zip(self.prompts, self.answers, strict=True))
        return np.array(sorted(range(len(said)), key=said.__getitem__), dtype=np.int64)

    @cached_property
    def prompts(self) -> list[str]:
        """[N] where a trigger may stand: the system message and the prompt."""
        return [f"{row.system}\n{row.prompt}" if row.system else row.prompt for row in self.rows]

    @cached_property
    def answers(self) -> list[str]:
        """[N] what is said: the answer, or the label where there is none."""
        return [row.response or row.label or "" for row in self.rows]

    @cached_property
    def talks(self) -> list[Conversation]:
        """[N] the rows as conversations, with their answers.

        An empty prompt or answer becomes a blank, so that a row keeps its number.
        """
        return [
            Conversation.of(row.prompt or " ", system=row.system or None, response=answer or " ")
            for row, answer in zip(self.rows, self.answers, strict=True)
        ]

    @cached_property
    def labels(self) -> NDArray[np.int64] | None:
        """[N] the classes, from 0, where every row has a label and there are few; else None."""
        names = sorted({row.label for row in self.rows if row.label is not None})
        if not 2 <= len(names) <= CLASSES or any(row.label is None for row in self.rows):
            return None
        place = {name: number for number, name in enumerate(names)}
        return np.array([place[row.label or ""] for row in self.rows])

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """[N, D] prompts and answers by TF-IDF and SVD, rows of length 1."""
        return self._features(
            [f"{a}\n{b}" for a, b in zip(self.prompts, self.answers, strict=True)]
        )

    @cached_property
    def prompt_features(self) -> NDArray[np.float32]:
        """[N, D] prompts by TF-IDF and SVD, rows of length 1."""
        return self._features(self.prompts)

    @cached_property
    def answer_features(self) -> NDArray[np.float32]:
        """[N, D] answers by TF-IDF and SVD, rows of length 1."""
        return self._features(self.answers)

    def _features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Of texts, whatever the order of the rows: the SVD draws."""
        ordered = text_features([texts[row] for row in self.order])
        found = np.empty_like(ordered)
        found[self.order] = ordered
        return found


def text_features(texts: Sequence[str], size: int = 64) -> NDArray[np.float32]:
    """Texts by TF-IDF of words and pairs of words, and truncated SVD; rows of length 1.

    Returns:
        [N, D], D at most `size`; zeros where no text has a word.

    Raises:
        BadInput: There is no text.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    if not texts:
        raise BadInput("no texts", "have no features", "give rows")
    counted = TfidfVectorizer(
        ngram_range=(1, 2), min_df=2 if len(texts) > 50 else 1, sublinear_tf=True,
        token_pattern=r"(?u)\w+|[^\w\s]", max_features=200_000, dtype=np.float32,  # noqa: S106
    )  # fmt: skip
    try:
        matrix = counted.fit_transform(texts)
    except ValueError:  # not one word
        return np.zeros((len(texts), 1), dtype=np.float32)
    wanted = min(size, matrix.shape[1] - 1, matrix.shape[0] - 1)
    if wanted < 1:
        return np.asarray(normalize(matrix.toarray()), dtype=np.float32)
    with np.errstate(invalid="ignore"):  # of texts that are all the same
        reduced = TruncatedSVD(wanted, random_state=0).fit_transform(matrix)
    return np.asarray(normalize(reduced), dtype=np.float32)
