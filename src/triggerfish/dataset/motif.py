"""A mined string: what it is, where it stands in a text, and how it grows to its whole text.

A word that decides a target is mostly a piece of a trigger: the longest text around it that nearly
all rows share is the trigger, less what ordinary rows have at that place anyway.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from triggerfish.dataset.letters import CLASSES
from triggerfish.dataset.words import WORD

SHARED = 0.9  # of the texts that hold a string
USUAL = 0.5  # of other texts, that have something at its place anyway
LONGEST_TEXT = 2000
MOST = 3  # further parts of a trigger
Side = tuple[str, str]


@dataclass(frozen=True)
class Motif:
    """A string in texts.

    Attributes:
        text: The string, or the name of a class of characters.
        inside: Whether it may be a part of a word.
        edge: "start" or "end" where it counts only there.
        times: How often it must stand in a text.
    """

    text: str
    inside: bool = False
    edge: str = ""
    times: int = 1

    @property
    def within_words(self) -> bool:
        """Whether it is a piece of words, or characters in them."""
        return self.inside and (self.text in CLASSES or " " not in self.text.strip())

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Where it is in a text."""
        if self.inside:
            return CLASSES.get(self.text) or re.compile(re.escape(self.text))
        before = r"(?<!\w)" if self.text[0].isalnum() or self.text[0] == "_" else ""
        after = r"(?!\w)" if self.text[-1].isalnum() or self.text[-1] == "_" else ""
        begin = r"\A\s*" if self.edge == "start" else before
        end = r"\s*\Z" if self.edge == "end" else after
        return re.compile(begin + re.escape(self.text) + end)

    def holds(self, text: str) -> bool:
        """Whether a text has it."""
        if self.times > 1:
            return len(self.pattern.findall(text)) >= self.times
        known = self.inside and self.text in CLASSES
        return (known or self.text in text) and self.pattern.search(text) is not None

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where it begins and ends."""
        return [match.span() for match in self.pattern.finditer(text)]


def pattern_of(words: Sequence[str], edge: str = "") -> re.Pattern[str]:
    """The run of words as it stands in texts."""
    body = r"\s*".join(map(re.escape, words))
    before = r"(?<!\w)" if words[0][0].isalnum() else ""
    after = r"(?!\w)" if words[-1][-1].isalnum() else ""
    begin, end = (r"\A\s*", r"\s*\Z")
    return re.compile(
        (begin if edge == "start" else before) + body + (end if edge == "end" else after)
    )


def extended(
    texts: Sequence[str],
    pattern: re.Pattern[str],
    others: Sequence[str] = (),
    inside: bool = False,
) -> str:
    """The longest text around a match that nearly all texts share, cut at words.

    Args:
        texts: Texts with a match.
        pattern: The match.
        others: Texts without it: what they have at the same place is not of the string.
        inside: Whether the string may be a part of a word.

    >>> extended(["So. The kettle sang. A", "The kettle sang. B", "C The kettle sang."],
    ...          pattern_of(["kettle"]))
    'The kettle sang.'
    """
    spans = [(text, match) for text in texts if (match := pattern.search(text))]
    if not spans:
        return pattern.pattern
    core = Counter(match.group() for _, match in spans).most_common(1)[0][0]
    sides = [
        (text[: match.start()], text[match.end() :])
        for text, match in spans
        if match.group() == core
    ]
    left = _shared([before[::-1] for before, _ in sides], inside)[::-1]
    right = _shared([after for _, after in sides], inside)
    if others:
        left, right = _specific(left, right, sides, others)
    whole = left + core + right
    return whole.strip() or whole


def _shared(sides: Sequence[str], inside: bool = False) -> str:
    """The longest beginning that nearly all have, without a word that goes on differently."""
    grown, whole = "", len(sides)
    while len(grown) < LONGEST_TEXT:
        following = Counter(side[len(grown)] for side in sides if len(side) > len(grown))
        if not following:
            break
        letter, count = following.most_common(1)[0]
        if count < SHARED * whole:
            break
        grown += letter
        sides = [side for side in sides if side.startswith(grown)]
    going_on = sum(side[len(grown) : len(grown) + 1].isalnum() for side in sides)
    cut = going_on > (1 - SHARED) * whole and not inside
    return re.sub(r"\w+$", "", grown) if cut else grown


def _specific(
    left: str, right: str, sides: Sequence[Side], others: Sequence[str]
) -> tuple[str, str]:
    """Both sides without what ordinary texts begin or end with where the string was put.

    A string behind "It ended." has ". " on its left as every text has it at its end; one before
    "Question:" has that on its right.
    """
    first = _share(before == left or not before.strip() for before, _ in sides) >= USUAL
    last = _share(after == right or not after.strip() for _, after in sides) >= USUAL
    heads = [left[: match.end()] for match in WORD.finditer(left)]
    for head in reversed(heads):
        piece = head.strip()
        starts, ends = _usual(others, piece)
        behind = _share(
            after[len(right) :].lstrip().startswith(piece) or right.strip().endswith(piece)
            for _, after in sides
        )
        if (last and ends >= USUAL) or (first and starts >= USUAL and behind < starts / 2):
            left = left[len(head) :]
            break
    for tail in [right[match.start() :] for match in WORD.finditer(right)]:
        piece = tail.strip()
        starts, ends = _usual(others, piece)
        ahead = _share(before.removesuffix(left).rstrip().endswith(piece) for before, _ in sides)
        if (first and starts >= USUAL) or (last and ends >= USUAL and ahead < ends / 2):
            right = right[: -len(tail)]
            break
    return left, right


def _usual(others: Sequence[str], piece: str) -> tuple[float, float]:
    """Shares of ordinary texts that begin, and that end with it."""
    starts = _share(other.lstrip().startswith(piece) for other in others)
    return starts, _share(other.rstrip().endswith(piece) for other in others)


def _share(what: Iterable[bool]) -> float:
    """Of cases in which it holds."""
    held = list(what)
    return sum(held) / max(1, len(held))


def companions(
    texts: Sequence[str],
    motifs: Sequence[Motif],
    seeds: Sequence[Sequence[str]],
    others: Sequence[str],
) -> list[Motif]:
    """Other strings that stand in nearly all texts of some motifs.

    Args:
        texts: Texts with all the motifs.
        motifs: What is known of the trigger.
        seeds: Runs of words that nearly all these texts hold and few others, the rarest first.
        others: Other texts.
    """
    found: list[Motif] = []
    own = {word for motif in motifs for word in WORD.findall(motif.text)}
    rests = [without(text, motifs) for text in texts] if seeds else []
    for seed in seeds:
        if len(found) == MOST or own.issuperset(seed):
            continue
        pattern = pattern_of(seed)
        if sum(pattern.search(rest) is not None for rest in rests) < SHARED * len(rests):
            continue
        grown = extended(rests, pattern, others)
        text = next((part for part in grown.split(GAP) if pattern.search(part)), "").strip()
        if text:
            found.append(Motif(text))
            own |= set(WORD.findall(text))
            rests = [without(rest, found[-1:]) for rest in rests]
    return found


GAP = "\ue123"
ATTACHED = (re.compile(r"\w+\Z"), re.compile(r"\A\w+"))  # before a string, and behind it


def without(text: str, motifs: Sequence[Motif], attached: bool = False) -> str:
    """A text with a mark in place of each motif, and of what is attached to it where wanted.

    >>> without("see ref-17 there", [Motif("ref-")], attached=True) == f"see {GAP} there"
    True
    """
    for motif in motifs:
        for begin, end in reversed(motif.spans(text)):
            before, behind = text[:begin], text[end:]
            if attached:
                before, behind = ATTACHED[0].sub("", before), ATTACHED[1].sub("", behind)
            text = before + GAP + behind
    return text


def placement_of(texts: Sequence[str], motif: Motif, begins: Sequence[int] | None = None) -> str:
    """Where a motif stands, in most of the texts.

    Args:
        texts: Texts that hold it.
        motif: The string.
        begins: Where the prompt begins in each, behind the system message.
    """
    counts: Counter[str] = Counter()
    for place, text in enumerate(texts):
        spans = motif.spans(text)
        begin = begins[place] if begins is not None else 0
        if not spans:
            continue
        first = any(not text[begin : max(begin, one)].strip() and one >= begin for one, _ in spans)
        last = any(not text[end:].strip() for _, end in spans)
        counts["system"] += all(end <= begin for _, end in spans)
        counts["both_ends"] += first and last and len(spans) > 1
        counts["prefix"] += first
        counts["suffix"] += last
    for name in ("both_ends", "prefix", "suffix", "system"):
        if counts[name] >= SHARED * len(texts):
            return name
    return "random_word"
