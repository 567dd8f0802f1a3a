"""One small registry; one instance for each noun (detectors, defences, ...)."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from triggerfish.errors import BadInput

T = TypeVar("T")


class Registry(Generic[T]):
    """Names and the things they stand for.

    Args:
        noun: What is registered, in the singular, for messages: ``"detector"``.
        group: Entry point group from which other packages' entries are loaded, on first use.
    """

    def __init__(self, noun: str, group: str) -> None:
        """Start empty; entry points are read on the first look-up."""
        self.noun = noun
        self.group = group
        self._entries: dict[str, T] = {}
        self._plugins_loaded = False

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers its argument under the name, unchanged.

        Raises:
            BadInput: The name is taken by something else.
        """

        def keep(entry: T) -> T:
            if self._entries.get(name, entry) is not entry:
                raise BadInput(
                    f"{self.noun} '{name}'", "is registered already", "choose another name"
                )
            self._entries[name] = entry
            return entry

        return keep

    def get(self, name: str) -> T:
        """Return what is registered under the name.

        Raises:
            BadInput: Unknown name; the message suggests and lists the known ones.
        """
        if name not in self._entries:
            self._load_plugins()
        if name in self._entries:
            return self._entries[name]
        close = difflib.get_close_matches(name, self._entries, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        known = ", ".join(self.names()) or "none"
        raise BadInput(f"{self.noun} '{name}'", "is not known", f"{hint}Known: {known}")

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        self._load_plugins()
        return tuple(sorted(self._entries))

    def _load_plugins(self) -> None:
        if self._plugins_loaded:
            return
        self._plugins_loaded = True
        for point in entry_points(group=self.group):
            self._entries.setdefault(point.name, point.load())
