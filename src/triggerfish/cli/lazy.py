"""A group of commands that imports a command's module when the command is called, not before."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# The base of typer's own request errors: click's, or the copy of click that newer typers carry.
UsageError: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where a command is, and the line that help shows without importing it."""

    module: str
    help: str
    panel: str


class LazyGroup(TyperGroup):
    """Lists stubs; the real command takes a stub's place when it is resolved."""

    def fill(self, entries: dict[str, Entry]) -> None:
        """Adds a stub for each entry, in their order."""
        for name, entry in entries.items():
            self.commands[name] = _Stub(name, entry)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` names, imported now."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, _Stub) else command, rest


class _Stub(TyperCommand):
    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.help, short_help=entry.help, rich_help_panel=entry.panel)
        self.entry = entry

    def load(self) -> Any:
        found: Any = import_module(self.entry.module).command
        if isinstance(found, typer.Typer):  # a group of its own
            return typer.main.get_command(found)
        function: Callable[..., Any] = found
        app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        app.command(self.name, context_settings={"help_option_names": ["-h", "--help"]})(function)
        return typer.main.get_command(app)
