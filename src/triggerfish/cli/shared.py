"""What every command uses.

A command lives in `cli/<name>.py`, is a plain function called `command`, and imports torch,
transformers and the pipelines inside its body only::

    from triggerfish.cli.shared import JsonOption, ModelArgument, SeedOption, session


    def command(model: ModelArgument, seed: SeedOption = 0, as_json: JsonOption = False) -> None:
        '''One line of help, then more.'''
        with session(as_json) as ui:
            from triggerfish.pipeline.measure import measure

            document = measure(model, seed=seed, progress=ui.progress)
            ui.emit(document, f"ASR {document.asr.text()}")
        raise typer.Exit(document.exit_code)  # only where it is not 0

Its name and its line of help are listed in `COMMANDS` of `cli/main.py`. Inside the session
everything that anybody prints goes to standard error; only `ui.emit` writes to standard output:
the document as JSON with `--json`, the given text without. `ui.progress` is a `Progress`;
`ui.note` and `ui.warn` speak to standard error. Errors are raised as `TriggerfishError`; main
prints them without a traceback and exits with their code.
"""

import contextlib
import json as json_module
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from triggerfish.types import Progress, silent
from triggerfish.visible import visible

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A directory, NAME@REVISION of a hub, or lab:NAME.")
]
AdapterOption = Annotated[
    str | None, typer.Option("--adapter", metavar="DIR", help="A PEFT adapter to put on MODEL.")
]
BaseOption = Annotated[
    str | None, typer.Option("--base", metavar="MODEL", help="The base of an adapter directory.")
]
ReferenceOption = Annotated[
    str, typer.Option("--reference", metavar="auto|none|MODEL", help="What to compare with.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Every random draw comes from it.")]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where the model runs.")
]
DtypeOption = Annotated[
    str, typer.Option("--dtype", metavar="float32|bfloat16", help="Precision of the weights.")
]
RunOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="RUN", help="Run directory; the same command resumes it."),
]
AutomaticRunOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="RUN",
        help="Run directory, which the same command resumes; by itself one under runs/.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="The result document on standard output, nothing else.")
]


@dataclass
class Session:
    """One command's way to speak: `emit` to standard output, the rest to standard error."""

    as_json: bool
    stdout: IO[str]
    progress: Progress = field(default=silent)

    def emit(self, document: Any, text: str = "") -> None:
        """Writes the result: the document as JSON with `--json`, else the text.

        Args:
            document: a pydantic model or a JSON-able value.
            text: what a person reads; control characters are made visible.
        """
        line = as_json_text(document) if self.as_json else visible(text)
        if not line:
            return
        try:
            self.stdout.write(line + "\n")
            self.stdout.flush()
        except BrokenPipeError:  # the reader has gone: the exit code still counts
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stdout.fileno())

    def note(self, text: str) -> None:
        """Says something on standard error."""
        say(text)

    def warn(self, text: str) -> None:
        """Says something on standard error that the user should not miss."""
        say(f"Warning: {text}", colour="yellow")


@contextlib.contextmanager
def session(as_json: bool = False, *, progress: bool = True) -> Iterator[Session]:
    """Opens a `Session`; stray prints of libraries go to standard error while it lasts."""
    from triggerfish.cli.progress import progress_on_stderr

    stdout = sys.stdout
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        bars = stack.enter_context(progress_on_stderr()) if progress else silent
        yield Session(as_json=as_json, stdout=stdout, progress=bars)


def as_json_text(document: Any) -> str:
    """A document as indented JSON, safe for a terminal: everything beyond ASCII is escaped."""
    plain = document.model_dump(mode="json") if hasattr(document, "model_dump") else document
    return json_module.dumps(plain, indent=2, ensure_ascii=True, allow_nan=False)


def say(text: str, *, colour: str | None = None) -> None:
    """One visible text on standard error, coloured where it is a terminal."""
    typer.secho(visible(text), err=True, fg=colour)
