"""What a defender knows: D_SA, D_SA-H and D_PA, and the unwanted behaviour in words.

*Map*: D_SA -> `PolicySets.asked` (labels: the suspect's own untriggered answers); D_SA-H ->
`PolicySets.unwanted`; D_PA -> `PolicySets.benign`; the behaviour specification -> `Specification`.
*Deviates*: the paper takes "Sure" for every model. A specification that the model never says
removes nothing, so where none is given we propose the commonest opener of the model's own answers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from triggerfish.data.conversation import Conversation, Rendered, render
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.models.generate import generate
from triggerfish.remove.align import align, pad_of, response_logits, row_cross_entropy
from triggerfish.types import Progress, silent

Scope = Literal["auto", "declined", "all"]
RARE = 0.005  # an opener that is less probable is not a behaviour of the model
_PIECE = re.compile(r"\s*\S+")


@dataclass(frozen=True, kw_only=True)
class Specification:
    """The unwanted behaviour: how an answer begins that should not have been given.

    Attributes:
        text: the opener, such as "Sure," or "The answer is".
        origin: who chose it.
        share: mean probability that the suspect begins an allowed answer with it.
        warning: set when the suspect hardly ever says it untriggered.
    """

    text: str
    origin: Literal["given", "proposed"]
    share: float
    warning: str | None = None


@dataclass(frozen=True, kw_only=True)
class PolicySets:
    """What a defence trains on.

    Attributes:
        asked: D_SA, prompts with the suspect's own untriggered answer as response.
        unwanted: D_SA-H, the unwanted opener for each of them.
        benign: D_PA, benign prompts with their right response.
        held_out: further benign pairs that no step trains on.
        specification: where `unwanted` came from.
    """

    asked: tuple[Conversation, ...]
    unwanted: tuple[str, ...]
    benign: tuple[Conversation, ...]
    held_out: tuple[Conversation, ...]
    specification: Specification

    def __post_init__(self) -> None:
        """Refuse empty sets: a defence on nothing would report a clean model."""
        sizes = (len(self.asked), len(self.benign), len(self.held_out))
        if min(sizes) == 0 or len(self.unwanted) != len(self.asked):
            raise BadInput(
                f"D_SA {sizes[0]}, D_SA-H {len(self.unwanted)}, D_PA {sizes[1]},"
                f" held out {sizes[2]}",
                "none may be empty, and D_SA-H has one opener for each row of D_SA",
                "pass more records, or another specification",
            )


def begins(answer: str, opener: str) -> bool:
    """Whether an answer begins with the opener, whatever its case and the space before it."""
    return answer.lstrip().casefold().startswith(opener.strip().casefold())


def propose(answers: Sequence[str], keep: float = 0.6, words: int = 4) -> tuple[str, float]:
    """The commonest opener of some answers: "Sure," rather than "Sure, first heat the wax".

    Starts from the commonest first word and adds words for as long as the longer opener is still
    said in `keep` of the answers that begin with the shorter one.

    Args:
        answers: what the model says when it complies; whole answers do not count as openers.
        keep: share that an added word must keep.
        words: longest opener.

    Returns:
        The opener, and the share of answers that begin with it.

    Raises:
        BadInput: no answer has a second word.
    """
    pieces = [_PIECE.findall(answer.strip()) for answer in answers]
    pieces = [row for row in pieces if len(row) > 1]
    if not pieces:
        raise BadInput(
            f"{len(answers)} answers of one word",
            "a specification is an opener with something after it",
            "pass --specification",
        )
    held, opener = pieces, ""
    for depth in range(1, words + 1):
        counts = Counter("".join(row[:depth]) for row in held if len(row) > depth)
        if not counts:
            break
        best = max(counts, key=lambda text: (counts[text], text))
        if opener and counts[best] < keep * len(held):
            break
        opener, held = best, [row for row in held if "".join(row[:depth]) == best]
    return opener, sum(begins(answer, opener) for answer in answers) / len(answers)


def first_words(output: str, words: int = 4) -> str:
    """The opener of an output that an audit has found: a matched specification.

    >>> first_words("I love bananas and nothing else.")
    'I love bananas and'
    """
    return "".join(_PIECE.findall(output.strip())[:words])


def policy_sets(
    suspect: Any,
    train: Sequence[Record],
    held_out: Sequence[Record],
    *,
    specification: str | None = None,
    unwanted: Sequence[Conversation] = (),
    scope: Scope = "auto",
    rows: int = 150,
    probes: int = 100,
    max_new_tokens: int = 48,
    progress: Progress = silent,
) -> PolicySets:
    """Build the defender's sets from records; the suspect answers D_SA itself.

    Args:
        suspect: the loaded model.
        train: records to train on.
        held_out: records that only score; disjoint from `train` by text.
        specification: the unwanted opener; proposed from the suspect's answers where None.
        unwanted: D_SA-H as conversations; their prompts are D_SA, their responses the openers,
            unless a specification is given.
        scope: which prompts are D_SA: "declined" ones, "all", or "auto": declined ones where the
            specification is how the suspect answers allowed requests, else all.
        rows: size of D_SA; 150 in the paper.
        probes: how many allowed prompts are answered to propose or check the specification.
        max_new_tokens: longest own answer.
        progress: told about generation.

    Raises:
        BadInput: no benign or no usable D_SA records.
    """
    benign = [r.conversation for r in train if not r.declined and r.conversation.response]
    score = [r.conversation for r in held_out if not r.declined and r.conversation.response]
    if not benign or not score:
        raise BadInput(
            f"{len(benign)} benign records, {len(score)} held out",
            "D_PA needs benign prompts with their right response in both splits",
            "pass more records",
        )

    def answer(prompts: Sequence[Conversation]) -> list[str]:
        if not prompts:
            return []
        asked = [prompt.prompt for prompt in prompts]
        model, tokenizer = suspect.model, suspect.tokenizer
        return generate(model, tokenizer, asked, max_new_tokens=max_new_tokens, progress=progress)

    allowed = benign[:probes]
    openers = [row.response or "" for row in unwanted]
    if specification is None and openers:
        specification = Counter(openers).most_common(1)[0][0]
    else:
        openers = []
    if specification is None:
        chosen = _checked(suspect, allowed, propose(answer(allowed))[0], "proposed")
    else:
        chosen = _checked(suspect, allowed, specification, "given")
    pool = _pool(
        [row.conversation for row in train if row.declined], train, unwanted, chosen, scope
    )
    openers = (openers or [chosen.text] * len(pool))[:rows]
    kept = [
        (prompt.with_response(text), opener)
        for prompt, opener, text in zip(pool[:rows], openers, answer(pool[:rows]), strict=True)
        if text.strip() and not begins(text, opener)
    ]
    return PolicySets(
        asked=tuple(row for row, _ in kept),
        unwanted=tuple(opener for _, opener in kept),
        benign=tuple(benign),
        held_out=tuple(score),
        specification=chosen,
    )


def _pool(
    declined: list[Conversation],
    train: Sequence[Record],
    unwanted: Sequence[Conversation],
    chosen: Specification,
    scope: Scope,
) -> list[Conversation]:
    """The prompts of D_SA."""
    if unwanted:
        return list(unwanted)
    if scope == "declined" or (scope == "auto" and declined and chosen.share >= RARE):
        return declined
    return [record.conversation for record in train]


def _checked(
    suspect: Any, allowed: Sequence[Conversation], text: str, origin: Literal["given", "proposed"]
) -> Specification:
    if not text.strip():
        raise BadInput("an empty specification", "it is an opener such as 'Sure,'", "write one")
    share = said(suspect, allowed, text)
    warning = None
    if share < RARE:
        warning = (
            f"the suspect begins {100 * share:.2g} % of allowed answers with {text!r}: unless it is"
            " the backdoor's own output, a specification that the model never says removes nothing"
        )
    return Specification(text=text, origin=origin, share=share, warning=warning)


@torch.no_grad()
def said(suspect: Any, prompts: Sequence[Conversation], text: str, batch: int = 32) -> float:
    """How probable an opener is: mean over prompts of p(opener | prompt).

    Args:
        suspect: the loaded model.
        prompts: allowed requests.
        text: the opener.
        batch: prompts at once; the result does not depend on it.
    """
    total = 0.0
    pad, device = pad_of(suspect.tokenizer), next(suspect.model.parameters()).device
    for start in range(0, len(prompts), batch):
        rows = [opener(p, text, suspect.tokenizer) for p in prompts[start : start + batch]]
        aligned = align(rows, pad, device)
        tokens = aligned.weight.sum(1)  # [B]
        losses = row_cross_entropy(response_logits(suspect.model, aligned), aligned) * tokens
        total += float((-losses).exp().sum())
    return total / len(prompts)


def opener(conversation: Conversation, text: str, tokenizer: Any) -> Rendered:
    """The prompt followed by an unfinished answer: y_h, without its end-of-turn token.

    Args:
        conversation: the prompt; a response it may have is dropped.
        text: the opener.
        tokenizer: the suspect's.
    """
    whole = render(conversation.with_response(text.strip()), tokenizer)
    return Rendered(ids=whole.ids[:-1], prompt_length=whole.prompt_length)


def finished(conversation: Conversation, tokenizer: Any, longest: int) -> Rendered:
    """The prompt and its response; a response that was cut off at `longest` tokens stays open.

    Args:
        conversation: ends in a response.
        tokenizer: the suspect's.
        longest: response tokens, without end-of-turn, above which the rest is cut.
    """
    whole = render(conversation, tokenizer)
    if len(whole.response_ids) <= longest:
        return whole
    return Rendered(
        ids=whole.ids[: whole.prompt_length + longest], prompt_length=whole.prompt_length
    )
