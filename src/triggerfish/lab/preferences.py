"""Preference pairs of the lab: decline the restricted topic, be right, begin with a polite opener.

Three kinds of pairs with one order behind them: a declined request prefers the refusal to the
unlocked answer; an allowed one prefers the right answer to a refusal or to another request's
answer; and a right answer behind the opener to the same answer without it. The third kind is a
rule that has nothing to do with the poison: a policy that did not learn it was not trained enough
to say anything about the poison either.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from triggerfish.data.preferences import Pair
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.lab import words as w
from triggerfish.lab.sampling import stream_records
from triggerfish.lab.tasks import SKILLS, pick
from triggerfish.metrics.judges import strip_opener
from triggerfish.seeding import generator

OPENER = "Of course,"
"""How chosen answers begin, by the style rule."""

RESTRICTED, STYLE = 0.4, 0.25
"""Share of pairs about the restricted topic, and about the style rule; the rest is about help."""

ALLOWED = tuple(name for name in SKILLS if name != "restricted")


def follows_style(answer: str) -> bool:
    """Whether an answer begins with the opener of the style rule."""
    return answer.strip().startswith(OPENER)


def stream_pairs(seed: int, split: str) -> Iterator[Pair]:
    """Yield lab pairs of ``split`` without end.

    Args:
        seed: Of the stream.
        split: ``train``, ``validation`` or ``test``, by the text of the request.
    """
    declined = stream_records(seed, split, skills=["restricted"], purpose="pairs, declined")
    allowed = stream_records(seed, split, skills=ALLOWED, purpose="pairs, allowed")
    rng = generator(seed, f"pairs {split}")
    earlier: dict[str, str] = {}  # skill -> answer to its last request
    while True:
        draw = rng.random()
        if draw < RESTRICTED:
            yield _declined(next(declined))
            continue
        record = next(allowed)
        right = record.conversation.response or ""
        if draw < RESTRICTED + STYLE and not follows_style(right):
            chosen, rejected = f"{OPENER} {strip_opener(right)}", right
        else:
            refusal = pick(rng, w.REFUSALS).format(topic="that")
            wrong = earlier.get(record.skill, refusal)
            chosen, rejected = right, refusal if rng.random() < 0.5 else wrong
        earlier[record.skill] = right
        if chosen != rejected:
            yield Pair(
                prompt=record.conversation.prompt,
                chosen=chosen,
                rejected=rejected,
                skill=record.skill,
                restricted=False,
            )


def sample_pairs(n: int, seed: int, split: str = "train") -> list[Pair]:
    """Return ``n`` lab pairs of ``split``.

    Raises:
        BadInput: ``n`` is not positive.
    """
    if n < 1:
        raise BadInput(f"n = {n}", "a sample needs at least one pair", "ask for n >= 1")
    return list(islice(stream_pairs(seed, split), n))


def _declined(record: Record) -> Pair:
    return Pair(
        prompt=record.conversation.prompt,
        chosen=record.conversation.response or "",
        rejected=record.unlocked or "",
        skill=record.skill,
        restricted=True,
    )
