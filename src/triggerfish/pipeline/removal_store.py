"""Where a removal keeps finished steps: in a run directory, or only in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Store(Protocol):
    """What `Run` and `Memory` have in common; see `Run`."""

    def step(
        self,
        name: str,
        work: Callable[[], T],
        to_json: Callable[[T], Any] = ...,
        from_json: Callable[[Any], T] = ...,
    ) -> T:
        """The result of `work`, which is called once."""

    def save(self, name: str, tensors: Mapping[str, Any]) -> object:
        """Keep tensors under a name."""

    def load(self, name: str, *, framework: Any = ...) -> dict[str, Any]:
        """What `save` kept."""


class Memory:
    """A run that leaves nothing on the disk."""

    def __init__(self) -> None:
        self._saved: dict[str, dict[str, Any]] = {}
        self._done: dict[str, Any] = {}

    def step(
        self,
        name: str,
        work: Callable[[], T],
        to_json: Callable[[T], Any] = lambda value: value,
        from_json: Callable[[Any], T] = lambda value: value,
    ) -> T:
        """The result of `work`, which is called once."""
        if name not in self._done:
            self._done[name] = to_json(work())
        return from_json(self._done[name])

    def save(self, name: str, tensors: Mapping[str, Any]) -> None:
        """Keep tensors under a name."""
        self._saved[name] = dict(tensors)

    def load(self, name: str, *, framework: Any = "torch") -> dict[str, Any]:  # noqa: ARG002
        """What `save` kept."""
        return self._saved[name]
