"""The command line as a user meets it."""

import errno
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from triggerfish.cli import main as cli
from triggerfish.cli.lazy import Entry
from triggerfish.cli.shared import JsonOption, session
from triggerfish.errors import BadInput, CouldNotTest

SOURCE = str(Path(cli.__file__).parents[2])
PROGRAM = "from triggerfish.cli.main import main; main()"


def triggerfish(*arguments: str, code: str = PROGRAM, **options) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": SOURCE, "COLUMNS": "100"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, **options
    )


@pytest.fixture
def install(monkeypatch) -> Callable[[Callable], None]:
    """Installs a function as the command `probe`."""

    def put(function: Callable) -> None:
        module = types.ModuleType("probe_command")
        module.command = function
        monkeypatch.setitem(sys.modules, "probe_command", module)
        entry = Entry(module="probe_command", help="A probe.", panel="Tests")
        monkeypatch.setitem(cli.COMMANDS, "probe", entry)

    return put


def fails(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


def test_help_answers_in_less_than_300_ms() -> None:
    # Processor time: on a free machine it is the time that a user waits, and it does not depend
    # on what else runs.
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = triggerfish("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0
    assert min(times) < 0.3
    for name, entry in cli.COMMANDS.items():
        assert name in done.stdout
        assert entry.help[:30] in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_nothing_heavy_is_imported_to_say_little(arguments: Sequence[str]) -> None:
    code = (
        "import sys; from triggerfish.cli.main import run; run(sys.argv[1:]);"
        "heavy = {'torch', 'transformers', 'pydantic', 'numpy', 'jinja2'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    assert triggerfish(*arguments, code=code).stderr.count("imported {") == 0


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_no_command_imports_torch_for_its_help(name: str) -> None:
    if not importlib.util.find_spec(cli.COMMANDS[name].module):
        pytest.skip(f"{name} is not written yet")
    code = (
        "import sys; from triggerfish.cli.main import run; code = run(sys.argv[1:]);"
        "sys.exit(code or len({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = triggerfish(name, "--help", code=code)
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout


def test_version() -> None:
    from triggerfish import __version__

    assert triggerfish("--version").stdout == f"triggerfish {__version__}\n"


def test_an_unknown_command_is_a_bad_request_with_a_suggestion(capsys) -> None:
    assert cli.run(["exlain"]) == 2
    assert "Did you mean 'explain'?" in capsys.readouterr().err
    assert cli.run(["doctor", "--no-such-option"]) == 2
    assert "--no-such-option" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (BadInput("rank 0", "must be positive", "give 8"), 2, "rank 0: must be positive. Give 8."),
        (CouldNotTest("m", "has no reference", "give one"), 3, "m: has no reference. Give one."),
        (OSError(errno.ENOSPC, "No space left on device"), 3, "the disk is full"),
        (KeyboardInterrupt(), 130, "Run the same command again"),
    ],
)
def test_user_errors_have_a_code_and_no_traceback(install, capsys, error, code, text) -> None:
    install(fails(error))
    assert cli.run(["probe"]) == code
    shown = capsys.readouterr()
    assert text in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_a_fault_of_ours_is_never_taken_for_a_finding(install, capsys) -> None:
    install(fails(ZeroDivisionError("oops")))
    assert cli.run(["probe"]) == 3
    assert "no statement about the model" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_command_decides_its_exit_code(install, code: int) -> None:
    import typer

    install(fails(typer.Exit(code)))
    assert cli.run(["probe"]) == code


def test_hostile_strings_do_not_reach_the_terminal(install, capsys) -> None:
    install(fails(BadInput("\x1b]0;owned\x07 \u202e", "is hostile", "refuse it")))
    assert cli.run(["probe"]) == 2
    assert "\\x1b]0;owned\\x07 \\u202e" in capsys.readouterr().err


def test_json_is_all_there_is_on_standard_output(install, capsys) -> None:
    def command(as_json: JsonOption = False) -> None:
        with session(as_json) as ui:
            print("a library speaks")
            ui.note("on it")
            ui.progress(1, 2, "step \x1b[2J")
            ui.emit({"answer": "\x1b[31m \u202e", "n": 1}, "for people \x1b[31m")

    install(command)
    assert cli.run(["probe", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"answer": "\x1b[31m \u202e", "n": 1}
    assert shown.out.isascii()
    assert "\x1b" not in shown.out + shown.err
    assert "a library speaks" in shown.err
    assert cli.run(["probe"]) == 0
    assert capsys.readouterr().out == "for people \\x1b[31m\n"


def test_a_real_interrupt_ends_in_130() -> None:
    code = (
        "import sys, time, types; from triggerfish.cli import main as cli;"
        "from triggerfish.cli.lazy import Entry; m = types.ModuleType('probe');\n"
        "def command():\n print('ready', flush=True); time.sleep(30)\n"
        "m.command = command; sys.modules['probe'] = m;"
        "cli.COMMANDS['probe'] = Entry(module='probe', help='', panel=''); cli.main(['probe'])"
    )
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    process = subprocess.Popen(
        # Jobs in the background of a shell ignore interrupts, and their children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        args=[sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "resume" in error
    assert "Traceback" not in error


def test_a_reader_that_leaves_early_is_no_fault() -> None:
    code = f"import subprocess, sys; {PROGRAM}"
    command = f"{sys.executable} -c '{code}' doctor --json | head -c 1; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    done = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "{0\n"
    assert "Traceback" not in done.stderr
