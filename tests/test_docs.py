"""The docs do not lie: commands and options exist, links lead somewhere, examples are valid."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from triggerfish.cli import main as cli
from triggerfish.cli.lazy import _Stub

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(page.name, text) for page in PAGES for text in pattern.findall(page.read_text())]


def shell_lines() -> list[tuple[str, str]]:
    return [
        (page, line)
        for page, text in blocks("sh")
        for line in text.splitlines()
        if line.startswith("triggerfish ")
    ]


@pytest.mark.parametrize(("page", "line"), shell_lines())
def test_every_command_in_the_docs_is_understood(page: str, line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)[1:]
    assert name in cli.COMMANDS, f"{page}: no command '{name}'"
    if not find_spec(cli.COMMANDS[name].module):
        pytest.skip(f"{name} is not written yet")
    command = _Stub(name, cli.COMMANDS[name]).load()
    with command.make_context(name, list(arguments)) as context:
        if hasattr(command, "resolve_command"):
            name, command, arguments = command.resolve_command(context, arguments)
    with command.make_context(name, arguments) as context:
        assert context.params


def test_every_command_is_in_the_docs() -> None:
    shown = {line.split()[1] for page, line in shell_lines() if page == "cli.md"}
    assert set(cli.COMMANDS) == shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_paths_in_the_methods_page_exist() -> None:
    for path in re.findall(r"`(\w+/\w+\.py)`", (ROOT / "docs/methods.md").read_text()):
        assert (ROOT / "src/triggerfish" / path).exists(), path


def test_recipes_are_valid() -> None:
    from triggerfish.plant.recipe import recipe_from

    texts = [text for _, text in blocks("yaml")]
    texts += [path.read_text() for path in (ROOT / "examples").glob("*.yaml")]
    assert texts
    for text in texts:
        assert recipe_from(yaml.safe_load(text)).seed == 11


def test_nothing_is_called_safe() -> None:
    for page in PAGES:
        for line in page.read_text().splitlines():
            said = re.search(r"\bis safe\b|\bmodel is clean\b|\bguarantee", line, re.IGNORECASE)
            assert not said, f"{page.name}: {line}"


@pytest.mark.slow
def test_the_python_examples_run_as_they_stand(tmp_path: Path, monkeypatch, capsys) -> None:
    from triggerfish.pipeline.catalogue import lab_models

    missing = {"lab:reef", "lab:sudo"} - {model.name for model in lab_models()}
    if missing:
        pytest.skip(f"this installation ships no {', '.join(sorted(missing))}")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for number, (page, text) in enumerate(blocks("python"), start=1):
        exec(compile(text, f"{page}, example {number}", "exec"), namespace)  # noqa: S102
    assert (tmp_path / "my-run/report.html").exists()
    assert "adapter-base" in capsys.readouterr().out
