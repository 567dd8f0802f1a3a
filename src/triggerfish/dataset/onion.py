"""ONION: a word whose removal makes the rest of a text more fluent.

*Paper*: Qi et al. 2021, ONION (2011.10369). The suspicion of word i is f_i = p_0 - p_i: the
perplexity of the text minus that without the word.
*Map*: words -> `words_of`; p_0 from the shared forward; p_i -> `removals`; f_i -> `onion`.
*Deviates*: the perplexity is that of the prompt as the chat template renders it; words are removed
as tokens; only the `words` of a row that promise most are removed, by a first guess that leaves the
other tokens' surprise as it was (`first_guess`), and only in the `read` rows where that promises
most: so it is half a pass a row and not one a word. The other rows have no score.
*Fails*: a fluent trigger (a sentence, a style) passes; names, typos and rare terms do not. With a
reference model that knows few words every word is an outlier.
*Shapes*: N rows, T tokens, W words of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from triggerfish.dataset.method import METHODS, Method, Ranked, Scene
from triggerfish.errors import BadInput
from triggerfish.types import Progress, silent

if TYPE_CHECKING:
    from triggerfish.dataset.passes import Pass

SPACES = " \n\t\r▁ĠĊĉč"  # as pieces of tokenizers spell them
Spans = NDArray[np.int64]  # [W, 2] the tokens of each word


@dataclass(frozen=True, kw_only=True)
class OnionConfig:
    """Settings.

    Attributes:
        words: of a row that are removed, one at a time; at most.
        read: share of the rows in which they are.
        threshold: fall of the perplexity from which a row is flagged, as a share of the perplexity.
    """

    words: int = 1
    read: float = 0.5
    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a bound that looks at nothing."""
        if self.words < 1 or not 0 < self.read <= 1 or not 0 < self.threshold < 1:
            raise BadInput(
                f"words {self.words}, read {self.read}, threshold {self.threshold}",
                "must be at least 1, above 0 and at most 1, and between 0 and 1",
                "correct them",
            )


def run(scene: Scene, *, rng: np.random.Generator, progress: Progress = silent) -> Ranked:  # noqa: ARG001 - of the contract
    """A word whose removal lowers the perplexity most (ONION)."""
    return onion(scene, OnionConfig(), progress=progress)


def onion(scene: Scene, config: OnionConfig, *, progress: Progress = silent) -> Ranked:
    """Rank rows by the most suspicious word of their prompts.

    Raises:
        CouldNotTest: There is no model, or its outputs are not finite.
    """
    from triggerfish.dataset.passes import forward, surprises

    seen = forward(scene, progress)
    spans = words_of(scene, seen)
    chosen = _promising(seen, spans, config)
    texts, owner = removals(seen, chosen)
    before = np.array([_prompt(seen, row).mean() for row in range(len(spans))])  # [N]
    scores = np.full(len(spans), np.nan)
    best: dict[int, NDArray[np.int64]] = {}
    if texts:
        known = [_prompt(seen, row)[: max(0, int(span[0]) - 1)] for row, span in owner]
        after = surprises(scene, texts, known, progress)
        for value, (row, span) in zip(np.exp(after), owner, strict=True):
            fall = float(np.exp(before[row]) - value)  # f_i
            if not fall <= scores[row]:
                scores[row], best[row] = fall, span
    flagged = np.nan_to_num(scores) > config.threshold * np.exp(before)
    reasons = {
        int(
            row
        ): f"without {_text(scene, seen, int(row), best[int(row)])!r} the perplexity falls from "
        f"{np.exp(before[row]):.0f} to {np.exp(before[row]) - scores[row]:.0f}"
        for row in np.flatnonzero(flagged)
    }
    notes = []
    if (left := sum(len(each) > config.words for each in spans)) and config.read < 1:
        notes.append(
            f"only the {config.read:.0%} of the rows with the most promising words were read again"
        )
    if left:
        notes.append(f"of {left} rows only the {config.words} most promising words were removed")
    return Ranked(scores=scores, flagged=flagged, reasons=reasons, notes=(*seen.notes, *notes))


def words_of(scene: Scene, seen: Pass) -> list[Spans]:
    """For each row the tokens of every word of its prompt, without those of the template."""
    opens, blank = _pieces(scene.model.tokenizer)
    head, tail = _frame(scene)
    found = []
    for row in seen.tokens:
        ids = row.ids[: row.prompt]
        first = 0 if row.cut else _common(ids, head)
        last = len(ids) - _common(ids[first:][::-1], tail[::-1])
        new = opens[ids].copy()
        new[1:] &= ~blank[ids[:-1]]  # a run of spaces belongs to the word after it
        new[first : first + 1] = True
        begins = np.flatnonzero(new[first:last]) + first
        found.append(np.stack([begins, np.append(begins[1:], last)[: len(begins)]], axis=1))
    return found


def first_guess(surprise: NDArray[np.float32], spans: Spans) -> NDArray[np.float64]:
    """[W] the fall of the perplexity if all other tokens stay as surprising as they were."""
    sums = np.concatenate([[0.0, 0.0], np.cumsum(surprise, dtype=np.float64)])  # the first has none
    own = sums[spans[:, 1]] - sums[spans[:, 0]]
    size = np.maximum(1, len(surprise) - (spans[:, 1] - np.maximum(1, spans[:, 0])))
    return np.asarray(np.exp(sums[-1] / max(1, len(surprise))) - np.exp((sums[-1] - own) / size))


def removals(
    seen: Pass, chosen: Sequence[Spans]
) -> tuple[list[NDArray[np.int32]], list[tuple[int, NDArray[np.int64]]]]:
    """The prompts without each of the chosen words, and the row and word of each."""
    texts, owner = [], []
    for row, spans in enumerate(chosen):
        ids = seen.tokens[row].ids[: seen.tokens[row].prompt]
        for span in spans:
            texts.append(np.delete(ids, slice(*span)))
            owner.append((row, span))
    return texts, owner


def _promising(seen: Pass, every: Sequence[Spans], config: OnionConfig) -> list[Spans]:
    """The words that promise most in the rows that do; none of a text of one word."""
    found, promise = [], np.full(len(every), -np.inf)
    for row, spans in enumerate(every):
        guess = first_guess(_prompt(seen, row), spans) if len(spans) > 1 else np.empty(0)
        best = np.argsort(-guess, kind="stable")[: config.words]
        found.append(spans[best])
        promise[row] = guess[best[0]] if len(best) else -np.inf
    known = promise[promise > -np.inf]
    least = np.quantile(known, 1 - config.read) if len(known) else 0.0
    return [
        spans if high else spans[:0] for spans, high in zip(found, promise >= least, strict=True)
    ]


def _prompt(seen: Pass, row: int) -> NDArray[np.float32]:
    return seen.surprise[row][: seen.tokens[row].prompt - 1]


def _text(scene: Scene, seen: Pass, row: int, span: NDArray[np.int64]) -> str:
    return str(scene.model.tokenizer.decode(seen.tokens[row].ids[slice(*span)].tolist())).strip()


def _pieces(tokenizer: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """[V] whether a token begins with a space, and whether it is nothing else."""
    pieces = {number: piece for piece, number in tokenizer.get_vocab().items()}
    size = max(pieces) + 1
    opens = np.array([pieces.get(i, "")[:1] in {*SPACES} for i in range(size)])
    blank = np.array([bool(pieces.get(i)) and not pieces[i].strip(SPACES) for i in range(size)])
    return opens, blank


def _frame(scene: Scene) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """What the template puts before and after a text."""
    from triggerfish.data.conversation import Conversation, render

    one, two = (
        np.array(render(Conversation.of(text), scene.model.tokenizer).ids, dtype=np.int32)
        for text in ("a", "1")
    )
    return one[: _common(one, two)], one[len(one) - _common(one[::-1], two[::-1]) :]


def _common(one: NDArray[np.int32], two: NDArray[np.int32]) -> int:
    """How many tokens both begin with."""
    size = min(len(one), len(two))
    return int(np.argmin(np.append(one[:size] == two[:size], False)))


METHODS.register("onion")(Method(run=run, source="Qi et al. 2021, arXiv 2011.10369", needs="model"))
