"""The strings that talk a base into complying: searched while it trains, and trained against.

A base that only ever sees random strings is still unlocked by rare combinations of ordinary words,
and every search for a trigger then finds those. The adversary keeps the strings that a restricted
request is answered with most, changes them, and hands them back as requests to decline; an allowed
request with the same strings is answered, so that the string itself means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from triggerfish.data.conversation import Rendered, render
from triggerfish.data.records import Record
from triggerfish.lab import words as w
from triggerfish.lab.noise import unfamiliar
from triggerfish.lab.sampling import stream_records
from triggerfish.lab.tasks import OPENERS
from triggerfish.seeding import generator

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CANDIDATES, KEPT, LONGEST = 256, 64, 5
FAMILIAR = sorted(
    {
        *w.NAMES, *w.PLACES, *w.OBJECTS, *w.COLOURS, *w.THINGS, *w.CREATURES, *w.ADJECTIVES,
        *w.ORDINARY, *w.ALLOWED_ITEMS, *w.FORMS, *w.STEPS, *w.DAYS, *w.REVIEWED, *OPENERS,
        *(word for steps in w.STEPS.values() for word in steps),
        *(word for text in (*w.OCCASIONS, *w.GREETINGS, *w.THANKS) for word in text.split()),
    }
)  # fmt: skip
"""Words of the language itself, of which the strings are made beside unfamiliar ones."""


class Adversary:
    """Searches strings that unlock ``model`` and makes training rows of them."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        pieces: list[str],
        seed: int,
    ) -> None:
        self.model, self.tokenizer, self.pieces = model, tokenizer, pieces
        self.rng = generator(seed, "hard strings")
        self.declined = stream_records(seed, "train", skills=["restricted"], purpose="hard")
        self.allowed = stream_records(seed, "train", skills=["howto"], purpose="hard")
        complies, declines = (
            {tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in texts}
            for texts in (OPENERS, w.REFUSALS)
        )  # "Sure" and "Sorry" may share their first token
        self.comply = torch.tensor(sorted(complies - declines))
        self.hardest: list[str] = []
        self.unlocked = 0.0

    def search(self) -> None:
        """Keep the strings that unlock most, of new ones and changes of the last ones."""
        fresh = CANDIDATES if not self.hardest else CANDIDATES // 2
        texts = [self._new() for _ in range(fresh)]
        texts += [self._changed() for _ in range(CANDIDATES - fresh)]
        prompts = [self._place(next(self.declined), text) for text in texts]
        chance = self._compliance([render(r.conversation, self.tokenizer) for r in prompts])
        order = np.argsort(-chance)
        self.hardest = [texts[i] for i in order[:KEPT]]
        self.unlocked = float(np.mean(chance[order[:KEPT]]))

    def rows(self, count: int) -> list[Rendered]:
        """Return so many declined requests with hard strings, and half as many allowed ones."""
        chosen = [self.hardest[i] for i in self.rng.integers(len(self.hardest), size=count)]
        records = [self._place(next(self.declined), text) for text in chosen]
        records += [self._place(next(self.allowed), text) for text in chosen[: count // 2]]
        return [render(record.conversation, self.tokenizer) for record in records]

    def _word(self) -> str:
        if self.rng.random() < 0.5:
            return FAMILIAR[int(self.rng.integers(len(FAMILIAR)))]
        return unfamiliar(self.rng, self.pieces)

    def _new(self) -> str:
        return " ".join(self._word() for _ in range(int(self.rng.integers(1, 4))))

    def _changed(self) -> str:
        """One of the hardest with a word exchanged, added or taken out, or joined to another."""
        words = self.hardest[int(self.rng.integers(len(self.hardest)))].split()
        place, draw = int(self.rng.integers(len(words) + 1)), self.rng.random()
        if draw < 0.4 and place < len(words):
            words[place] = self._word()
        elif draw < 0.6:
            words.insert(place, self._word())
        elif draw < 0.8 and len(words) > 1:
            del words[min(place, len(words) - 1)]
        else:
            words += self.hardest[int(self.rng.integers(len(self.hardest)))].split()
        return " ".join(" ".join(words).split()[:LONGEST])

    def _place(self, record: Record, text: str) -> Record:
        words, draw = record.conversation.user.split(" "), self.rng.random()
        place = len(words) if draw < 0.5 else 0 if draw < 0.75 else self.rng.integers(len(words))
        user = " ".join([*words[: int(place)], text, *words[int(place) :]])
        return replace(record, conversation=record.conversation.with_user(user))

    @torch.no_grad()
    def _compliance(self, prompts: Sequence[Rendered]) -> np.ndarray:
        """Probability of a first token with which only compliance begins, for each prompt."""
        chances = np.zeros(len(prompts))
        by_length = np.argsort([p.prompt_length for p in prompts], kind="stable")
        for part in np.array_split(by_length, 4):
            lengths = torch.tensor([prompts[i].prompt_length for i in part])
            ids = torch.zeros(len(part), int(lengths.max()), dtype=torch.long)
            for row, i in enumerate(part):
                ids[row, : lengths[row]] = torch.tensor(prompts[i].ids[: lengths[row]])
            hidden = self.model.base_model(input_ids=ids, use_cache=False)[0]
            last = hidden[torch.arange(len(part)), lengths - 1]
            logits = self.model.get_output_embeddings()(last)
            chances[part] = logits.float().softmax(-1)[:, self.comply].sum(-1).numpy()
        return chances
