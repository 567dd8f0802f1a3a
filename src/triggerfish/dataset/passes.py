"""One forward over all rows, whose results the methods that read a model share.

What is computed is kept on the scene. Rows longer than `TOKENS` are cut: the answer keeps its
beginning and at least half of the room, the prompt keeps its end.
*Shapes*: N rows, B batch, T tokens, R tokens of an answer, D width, V vocabulary, K kept.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triggerfish.data.conversation import Conversation, render
from triggerfish.dataset.method import Scene
from triggerfish.errors import CouldNotTest
from triggerfish.models.batches import Batch, batches, device_of, evaluating
from triggerfish.models.hooks import Site, edit
from triggerfish.models.layout import plain
from triggerfish.models.parallel import each_in_a_thread
from triggerfish.models.training import FastInference
from triggerfish.types import Progress, silent

TOKENS = 512  # of a row that are read
FOREIGN = 0.75  # of the surprise of blind guessing, from which a language is foreign
_CHUNK = 1 << 20  # logits that are held at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """A row as tokens.

    Attributes:
        ids: [T] the prompt, then the answer with its end-of-turn token.
        prompt: Tokens of the prompt that are left.
        cut: Whether tokens were left out.
    """

    ids: NDArray[np.int32]
    prompt: int
    cut: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Pass:
    """What one forward says of every row.

    Attributes:
        tokens: [N] the rows that were read.
        surprise: [N] of each row [T - 1], minus the log-probability of every token but the first.
        loss: [N] mean surprise of the tokens of the answer.
        middle: [N, D] residual stream at the last token of the prompt, after half of the layers.
        last: [N, D] the same after the final norm.
        notes: What was left out.
    """

    tokens: Sequence[Tokens]
    surprise: Sequence[NDArray[np.float32]]
    loss: NDArray[np.float64]
    middle: NDArray[np.float32]
    last: NDArray[np.float32]
    notes: tuple[str, ...]


def forward(scene: Scene, progress: Progress = silent) -> Pass:
    """The shared forward of a scene; computed once.

    Raises:
        CouldNotTest: There is no model, or its outputs are not finite.
    """
    if "forward" not in scene.shared:
        scene.shared["forward"] = _forward(scene, progress)
    return cast(Pass, scene.shared["forward"])


def losses(
    scene: Scene, answers: Sequence[str], progress: Progress = silent
) -> NDArray[np.float64]:
    """[N] mean surprise of other answers to the same prompts.

    Raises:
        CouldNotTest: There is no model, or its outputs are not finite.
    """
    talks = [
        talk.with_response(text or " ") for talk, text in zip(scene.talks, answers, strict=True)
    ]
    tokens = tokens_of(talks, scene)
    found = np.empty(len(tokens))

    def read(batch: Batch, hidden: Tensor) -> None:
        for row, values in _surprise(scene, batch, hidden, tokens):
            found[row] = values[tokens[row].prompt - 1 :].mean()

    _read(scene, tokens, read, progress, "other answers")
    return _finite(found)


def surprises(
    scene: Scene,
    texts: Sequence[NDArray[np.int32]],
    known: Sequence[NDArray[np.float32]],
    progress: Progress = silent,
) -> NDArray[np.float64]:
    """Mean surprise of token ids, for each text; single tokens have none: 0.

    Args:
        scene: With a model.
        texts: Token ids of each.
        known: Of each text the surprise of its tokens from the second on, as far as it is known:
            tokens that have the same ones before them.
        progress: Told how far it is.
    """
    tokens = [Tokens(ids=ids, prompt=len(ids), cut=False) for ids in texts]
    first = [len(values) for values in known]
    found = np.zeros(len(tokens))

    def read(batch: Batch, hidden: Tensor) -> None:
        for row, values in _surprise(scene, batch, hidden, tokens, first):
            every = np.concatenate([known[row], values])
            found[row] = every.mean() if len(every) else 0.0

    _read(scene, tokens, read, progress, "texts without a word")
    return _finite(found)


def factors(scene: Scene, rows: Sequence[int]) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The gradient of each row's loss by the unembedding, as two factors.

    The gradient of the mean loss of an answer is E.T @ H [V, D], and is never formed here.

    Yields:
        The row, H [R, D] (normed hidden states before each token of the answer) and E [R, V]
        (probabilities minus the tokens themselves, divided by R), fp32 on the model's device.

    Raises:
        CouldNotTest: There is no model, or its outputs are not finite.
    """
    suspect = scene.model
    tokens = tokens_of([scene.talks[row] for row in rows], scene)
    cap = getattr(plain(suspect.model).config, "final_logit_softcapping", None)
    for batch, hidden in _hidden(scene, tokens):
        for place, number in enumerate(batch.rows):
            span = slice(tokens[number].prompt - 1, len(tokens[number].ids) - 1)
            states = hidden[place, span]  # [R, D]
            with torch.no_grad():
                logits = suspect.layout.logits(suspect.model, states)  # [R, V]
                errors = logits.softmax(-1)  # [R, V]
                targets = batch.ids[place, span.start + 1 : span.stop + 1]
                errors[torch.arange(len(targets), device=errors.device), targets] -= 1
                if cap is not None:
                    errors *= 1 - (logits / cap) ** 2
                errors /= len(targets)
            if not bool(torch.isfinite(errors).all()):
                raise _not_finite()
            yield rows[number], states.float(), errors


def products(scene: Scene) -> AbstractContextManager[Any]:
    """Products of the reference model: in bf16 where the scene allows it and it is faster.

    On the lab a forward takes half the time so, and losses keep their order (Spearman's rho
    0.9999; the largest difference of a row of sst2 is 0.09 nats).
    """
    model = scene.model.model
    if not scene.fast or device_of(model).type != "cpu":
        return nullcontext()
    if "products" not in scene.shared:
        scene.shared["products"] = FastInference(model)
    return cast(FastInference, scene.shared["products"]).running()


def tokens_of(talks: Sequence[Conversation], scene: Scene) -> list[Tokens]:
    """The tokens of conversations, cut to `TOKENS` and to what the model reads."""
    suspect = scene.model
    most = min(TOKENS, suspect.layout.context)
    found = []
    for talk in talks:
        whole = render(talk, suspect.tokenizer)
        ids = np.array(whole.ids, dtype=np.int32)
        kept = min(len(ids) - whole.prompt_length, max(most // 2, most - whole.prompt_length))
        first = max(0, whole.prompt_length + kept - most)
        short = ids[first : whole.prompt_length + kept]
        found.append(
            Tokens(ids=short, prompt=whole.prompt_length - first, cut=len(short) < len(ids))
        )
    return found


def _forward(scene: Scene, progress: Progress) -> Pass:
    tokens = tokens_of(scene.talks, scene)
    size, width = len(tokens), scene.model.layout.width
    surprise: list[NDArray[np.float32]] = [np.empty(0, dtype=np.float32)] * size
    states = {name: np.empty((size, width), dtype=np.float32) for name in ("middle", "last")}
    site = Site("residual", (scene.model.layout.n_layers - 1) // 2)
    own = threading.local()

    def keep(middle: Tensor) -> None:
        own.middle = middle  # of the batch that this thread reads

    def read(batch: Batch, hidden: Tensor) -> None:
        rows = list(batch.rows)
        each = torch.arange(len(rows), device=hidden.device)
        ends = torch.tensor([tokens[row].prompt - 1 for row in rows], device=hidden.device)
        states["middle"][rows] = own.middle[each, ends].float().cpu().numpy()
        states["last"][rows] = hidden[each, ends].float().cpu().numpy()
        for row, values in _surprise(scene, batch, hidden, tokens):
            surprise[row] = values

    with edit(scene.model.model, {site: keep}):
        _read(scene, tokens, read, progress, "reading rows with the model")
    loss = [values[row.prompt - 1 :].mean() for row, values in zip(tokens, surprise, strict=True)]
    return Pass(
        tokens=tokens,
        surprise=surprise,
        loss=_finite(np.array(loss, dtype=np.float64)),
        notes=_notes(scene, tokens, surprise),
        **states,
    )


def _notes(
    scene: Scene, tokens: Sequence[Tokens], surprise: Sequence[NDArray[np.float32]]
) -> tuple[str, ...]:
    """Rows that were cut, and whether the model knows the language of the prompts at all."""
    notes = []
    cut = sum(row.cut for row in tokens)
    if cut:
        notes.append(f"{cut} rows were cut to {TOKENS} tokens")
    prompts = [values[: row.prompt - 1] for row, values in zip(tokens, surprise, strict=True)]
    mean, blind = float(np.concatenate(prompts).mean()), math.log(scene.model.layout.vocabulary)
    if mean >= FOREIGN * blind:
        notes.append(
            f"the reference model hardly knows the language of these prompts: {mean:.1f} nats a "
            f"token, where blind guessing costs {blind:.1f}; its opinion of them counts little"
        )
    return tuple(notes)


def _read(
    scene: Scene,
    tokens: Sequence[Tokens],
    read: Callable[[Batch, Tensor], None],
    progress: Progress,
    what: str,
) -> None:
    """Call `read` with every batch and its final hidden states; on the CPU in several threads."""
    model, done = scene.model.model, 0

    def work(batch: Batch) -> int:
        with torch.inference_mode():
            with products(scene):
                hidden = _states(scene, batch)
            read(batch, hidden)
        return len(batch.rows)

    with evaluating(model), products(scene):  # for all threads
        run = each_in_a_thread if device_of(model).type == "cpu" else map
        for rows in run(work, _batches(scene, tokens)):
            done += rows
            progress(done, len(tokens), what)


def _hidden(scene: Scene, tokens: Sequence[Tokens]) -> Iterator[tuple[Batch, Tensor]]:
    """Batches and their final hidden states, [B, T - 1, D]."""
    for batch in _batches(scene, tokens):
        with evaluating(scene.model.model), products(scene):
            hidden = _states(scene, batch)
        yield batch, hidden  # outside: a generator must not switch its caller's gradients off


def _batches(scene: Scene, tokens: Sequence[Tokens]) -> Iterator[Batch]:
    suspect, ids = scene.model, cast(Any, [each.ids for each in tokens])
    device = device_of(suspect.model)
    return batches(ids, scene.batch_size, layout=suspect.layout, device=device)


def _states(scene: Scene, batch: Batch) -> Tensor:
    read = batch.ids[:, :-1] if batch.ids.shape[1] > 1 else batch.ids
    backbone = scene.model.layout.backbone(scene.model.model)
    return cast(Tensor, backbone(input_ids=read, use_cache=False).last_hidden_state)


@torch.no_grad()
def _surprise(
    scene: Scene,
    batch: Batch,
    hidden: Tensor,
    tokens: Sequence[Tokens],
    first: Sequence[int] | None = None,
) -> list[tuple[int, NDArray[np.float32]]]:
    """Of each row of a batch: minus the log-probabilities of all tokens but the first, [T - 1].

    Those before its number in `first` are left out.
    """
    suspect = scene.model
    spans = [(0 if first is None else first[row], len(tokens[row].ids) - 1) for row in batch.rows]
    kept = torch.cat([hidden[place, a:b] for place, (a, b) in enumerate(spans)])  # [K, D]
    targets = torch.cat([batch.ids[place, a + 1 : b + 1] for place, (a, b) in enumerate(spans)])
    sizes = [b - a for a, b in spans]
    step = max(1, _CHUNK // suspect.layout.vocabulary)
    parts = []
    for states, wanted in zip(torch.split(kept, step), torch.split(targets, step), strict=True):
        with products(scene):
            logits = suspect.layout.logits(suspect.model, states)  # [k, V], fp32
        parts.append(torch.nn.functional.cross_entropy(logits, wanted, reduction="none"))
    values = torch.cat(parts).cpu().numpy() if parts else np.empty(0, dtype=np.float32)
    return list(zip(batch.rows, np.split(values, np.cumsum(sizes)[:-1]), strict=True))


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(values).all():
        raise _not_finite()
    return values


def _not_finite() -> CouldNotTest:
    return CouldNotTest("the model's outputs", "must be finite", "look for NaN in the weights")
