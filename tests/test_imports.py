"""Imports point one way, methods do not know one another, and dangerous calls have no place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "triggerfish"
# A layer may import its own and lower ones. Layers of DESIGN.md, lowest first.
LAYERS = (
    {"errors", "seeding", "registry", "types", "visible", "documents"},
    {"data"},
    {"models"},
    {"backdoors", "metrics"},
    {"detect", "dataset", "explain", "remove", "plant", "lab"},
    {"report"},
    {"pipeline"},
    {"api", "cli"},
)
# Text in, text out: these know neither torch nor models.
WITHOUT_TORCH = {"backdoors", "metrics", "report", "data/conversation.py", "data/records.py"}
METHODS = ("detect", "dataset", "explain", "remove", "plant")
HOOKS = {"register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
         "register_hook"}  # fmt: skip
BANNED = {"manual_seed_all", "set_seed", "seed_all"}
# Saves and restores the state that a trainer of others would change.
MAY_IMPORT_RANDOM = {"plant/sft.py"}
FILES = sorted(PACKAGE.rglob("*.py"))


def names(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module, only for types) of every import, also inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typed = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in typed) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) in typed
            if node.module == "triggerfish":
                yield from ((f"triggerfish.{alias.name}", id(node) in typed) for alias in
                            node.names)  # fmt: skip


def part(module: str) -> str | None:
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "triggerfish" and len(pieces) > 1 else None


def layer(name: str) -> int:
    found = [index for index, members in enumerate(LAYERS) if name in members]
    assert found, f"{name} has no layer: add it to LAYERS, and to the design"
    return found[0]


def calls(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


@pytest.mark.parametrize("path", FILES, ids=names)
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for module, _ in imports(path):
        other = part(module)
        if other is None or other.startswith("_"):
            continue
        assert layer(other) <= layer(own), f"{own} imports {module}"
        if own in METHODS and other in METHODS:
            assert own == other, f"{own} imports {module}: methods are composed in pipeline"


@pytest.mark.parametrize("path", FILES, ids=names)
def test_only_types_come_from_torch_where_text_is_the_matter(path: Path) -> None:
    name = names(path)
    if not any(name == item or name.startswith(f"{item}/") for item in WITHOUT_TORCH):
        return
    heavy = [m for m, typed in imports(path) if not typed and m.split(".")[0] == "torch"]
    assert not heavy


@pytest.mark.parametrize("path", FILES, ids=names)
def test_cli_modules_import_nothing_heavy_at_the_top(path: Path) -> None:
    if not names(path).startswith("cli/"):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    modules = [n.module or "" if isinstance(n, ast.ImportFrom) else n.names[0].name for n in top]
    heavy = {"torch", "transformers", "numpy", "scipy", "sklearn", "pydantic", "jinja2", "peft"}
    for module in modules:
        assert module.split(".")[0] not in heavy
        assert part(module) in {None, "cli", "errors", "types", "visible"}, module


@pytest.mark.parametrize("path", FILES, ids=names)
def test_only_one_file_attaches_hooks(path: Path) -> None:
    if names(path) == "models/hooks.py":
        return
    found = [(name, line) for name, line in calls(path) if name.rpartition(".")[2] in HOOKS]
    assert not found


@pytest.mark.parametrize("path", FILES, ids=names)
def test_no_pickle_no_global_seed_no_code_from_text(path: Path) -> None:
    for module, _ in imports(path):
        banned = {"pickle", "dill", "cloudpickle", "joblib", "random"}
        if names(path) in MAY_IMPORT_RANDOM:
            banned.remove("random")
        assert module.split(".")[0] not in banned
    for name, line in calls(path):
        last = name.rpartition(".")[2]
        assert last not in BANNED, f"line {line}"
        assert name not in {"torch.load", "eval", "exec", "np.load", "numpy.load"}, f"line {line}"
        assert name not in {"torch.manual_seed", "torch.seed", "np.random.seed"}, f"line {line}"


@pytest.mark.parametrize("path", FILES, ids=names)
def test_only_the_command_line_prints(path: Path) -> None:
    if names(path).startswith("cli/"):
        return
    assert "print" not in {name for name, _ in calls(path)}


def test_the_test_sees_a_wrong_import(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from triggerfish.pipeline import run\n    torch.load(run)\n")
    assert [part(module) for module, _ in imports(bad)] == ["pipeline"]
    assert layer("pipeline") > layer("detect")
    assert ("torch.load", 3) in list(calls(bad))
