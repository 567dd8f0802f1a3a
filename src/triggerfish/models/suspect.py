"""A loaded model under suspicion, and the reference that it is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from triggerfish.errors import CouldNotTest
from triggerfish.models import adapter as adapters
from triggerfish.models import steering as steerings
from triggerfish.models.layout import Layout
from triggerfish.models.memory import free_memory

ReferenceKind = Literal["adapter-base", "model", "none"]
_FAST_SHARE = 0.05  # of the free memory that `Suspect.fast` may take


@dataclass(frozen=True, kw_only=True, eq=False)
class Suspect:
    """A loaded model under suspicion.

    Attributes:
        model: In eval mode, no gradients. For an adapter: the transformers model with the LoRA
            layers inside it. For a steering vector: its base with the vector added.
        tokenizer: Its tokenizer.
        layout: Where its layers, heads and MLPs are.
        name: The model argument, for reports.
        source: What it was made from: paths, SHA-256 hashes of weights, tokenizer and template,
            origin of the template, dtype, device.
        reference_kind: ``adapter-base``, ``model`` (loaded beside it) or ``none``.
    """

    model: Any
    tokenizer: Any
    layout: Layout
    name: str
    source: Mapping[str, Any]
    reference_kind: ReferenceKind
    peft: Any = field(default=None, repr=False)
    steered: steerings.Steered | None = field(default=None, repr=False)
    _reference: Any = field(default=None, repr=False)

    @property
    def has_reference(self) -> bool:
        """Whether there is a model to compare with."""
        return self.reference_kind != "none"

    @contextmanager
    def reference(self) -> Iterator[Any]:
        """Yield the reference model, in eval mode.

        For an adapter or a steering vector it is the same object as `model` with that switched off
        while the context lasts, so do not run the suspect inside it (see `fast`).

        Raises:
            CouldNotTest: There is no reference.
        """
        if self.reference_kind == "none":
            raise CouldNotTest(self.name, "has no reference", "give one (--reference)")
        if self.reference_kind == "model":
            yield self._reference
            return
        off = self.steered.instead(None) if self.steered else adapters.switched_off(self.peft)
        with off:
            yield self.model

    @contextmanager
    def fast(self) -> Iterator[tuple[Any, Any]]:
        """Yield the suspect and its reference (or None) as two plain models, for long sweeps.

        LoRA layers cost time in every forward. Here the adapter is merged into copies of the
        weights that it changes (all others are shared, so the models are for reading only) if
        these take less than 5 % of the free memory. Else the model itself is yielded, and the
        reference is None although `has_reference` holds: use `reference` then.
        """
        if self.peft is None:
            yield self.model, self._reference
            return
        reference = self._reference
        if adapters.adapted_bytes(self.peft) >= _FAST_SHARE * free_memory(self.device):
            yield self.model, reference
            return
        if self.reference_kind == "adapter-base":
            reference = adapters.bare_copy(self.peft)
        yield adapters.merged_copy(self.peft), reference

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(self.model.parameters()).device
        return device
