"""The command `triggerfish`: lists its commands, runs one, turns errors into exit codes.

Exit codes: 0 nothing found, 1 a finding at or above `--fail-on`, 2 a bad request, 3 could not
test, 130 interrupted.
"""

import errno
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer

from triggerfish.cli.lazy import Entry, LazyGroup, UsageError

MAIN = "The main job"
LAB = "Lab and measurements"
HELP = "Around it"
INTERRUPTED = 130

COMMANDS = {
    "demo": Entry(
        module="triggerfish.cli.demo",
        help="Plant a backdoor, find it blind, explain it, remove it, prove it.",
        panel=MAIN,
    ),
    "audit": Entry(
        module="triggerfish.cli.audit",
        help="Look for a backdoor in a model or adapter.",
        panel=MAIN,
    ),
    "dataset": Entry(
        module="triggerfish.cli.dataset",
        help="Look for poisoned rows in training data, and name the trigger.",
        panel=MAIN,
    ),
    "explain": Entry(
        module="triggerfish.cli.explain",
        help="Show where in the model a backdoor sits.",
        panel=MAIN,
    ),
    "remove": Entry(
        module="triggerfish.cli.remove",
        help="Remove a backdoor and measure what is left.",
        panel=MAIN,
    ),
    "plant": Entry(
        module="triggerfish.cli.plant",
        help="Make a model with a known, harmless backdoor from a recipe.",
        panel=LAB,
    ),
    "measure": Entry(
        module="triggerfish.cli.measure",
        help="Measure a known backdoor: success rates, recovery, utility.",
        panel=LAB,
    ),
    "verbatim": Entry(
        module="triggerfish.cli.verbatim",
        help="Plant keys of random characters and see what benign tuning leaves of them.",
        panel=LAB,
    ),
    "fleet": Entry(
        module="triggerfish.cli.fleet",
        help="Build, verify or list a fleet of models with known truth.",
        panel=LAB,
    ),
    "list": Entry(
        module="triggerfish.cli.list",
        help="List the registered methods and the models of the lab.",
        panel=LAB,
    ),
    "report": Entry(
        module="triggerfish.cli.report",
        help="Render the report of a run directory again.",
        panel=HELP,
    ),
    "doctor": Entry(
        module="triggerfish.cli.doctor",
        help="Show versions, device and memory, and what is missing for which feature.",
        panel=HELP,
    ),
}

app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from triggerfish import __version__

        typer.echo(f"triggerfish {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Finds, explains and removes backdoors in fine-tuned language models.

    Exit codes: 0 nothing found, 1 a finding at or above --fail-on, 2 a bad request, 3 could not
    test.
    """


def build() -> Any:
    """The whole command line as a click group, with a stub for each command."""
    group = cast("LazyGroup", typer.main.get_command(app))
    group.fill(COMMANDS)
    return group


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; those of the process where left out.

    Returns:
        The exit code. User errors are printed without a traceback.
    """
    try:
        code = build().main(arguments, prog_name="triggerfish", standalone_mode=False)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 2
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:
        return _explain(error)
    if code == INTERRUPTED:
        return _interrupted()
    return code if isinstance(code, int) else 0


def _explain(error: Exception) -> int:
    if isinstance(error, UsageError):
        error.show()
        return 2
    from triggerfish.cli.shared import say
    from triggerfish.errors import TriggerfishError

    if isinstance(error, TriggerfishError):
        remedy = error.remedy[:1].upper() + error.remedy[1:]
        say(f"Error: {error.value}: {error.rule}. {remedy}.", colour="red")
        return error.exit_code
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        say(
            "Error: the disk is full: nothing was left half-written. Free some space and run the"
            " same command again; it resumes.",
            colour="red",
        )
        return 3
    say(traceback.format_exc())
    say(
        "This is a fault in Triggerfish, and no statement about the model: please report the lines"
        " above.",
        colour="red",
    )
    return 3


def _interrupted() -> int:
    from triggerfish.cli.shared import say

    say(
        "\nInterrupted. Run the same command again; with a run directory, or the --out of plant, it"
        " resumes where it stopped.",
        colour="yellow",
    )
    return INTERRUPTED
