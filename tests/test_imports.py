"""Imports point one way, methods do not know one another, and dangerous calls have no place."""

import ast
from collections.abc import Iterator
from pathlib import Path

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
BANNED_CALLS = {"torch.load", "eval", "exec", "np.load", "numpy.load", "torch.manual_seed",
                "torch.seed", "np.random.seed"}  # fmt: skip
BANNED_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "random"}
HEAVY = {"torch", "transformers", "numpy", "scipy", "sklearn", "pydantic", "jinja2", "peft"}
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


def package(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_imports_point_one_way() -> None:
    wrong = []
    for path in FILES:
        own = package(path)
        for module, _ in () if own.startswith("_") else imports(path):
            other = part(module)
            if other is None or other.startswith("_"):
                continue
            upwards = layer(other) > layer(own)
            methods = own in METHODS and other in METHODS and own != other
            if upwards or methods:
                wrong.append(f"{names(path)} imports {module}")
    assert not wrong


def test_text_in_text_out_knows_no_torch() -> None:
    wrong = [
        f"{names(path)} imports {module}"
        for path in FILES
        if any(names(path) == item or names(path).startswith(f"{item}/") for item in WITHOUT_TORCH)
        for module, typed in imports(path)
        if not typed and module.split(".")[0] == "torch"
    ]
    assert not wrong


def test_cli_modules_import_nothing_heavy_at_the_top() -> None:
    wrong = []
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if package(path) != "cli" or not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            module = node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
            light = {None, "cli", "errors", "types", "visible"}
            if module.split(".")[0] in HEAVY or part(module) not in light:
                wrong.append(f"{names(path)} imports {module}")
    assert not wrong


def test_only_one_file_attaches_hooks() -> None:
    wrong = [
        f"{names(path)}:{line} calls {name}"
        for path in FILES
        if names(path) != "models/hooks.py"
        for name, line in calls(path)
        if name.rpartition(".")[2] in HOOKS
    ]
    assert not wrong


def test_no_pickle_no_global_seed_no_code_from_text() -> None:
    wrong = [
        f"{names(path)} imports {module}"
        for path in FILES
        for module, _ in imports(path)
        if module.split(".")[0] in BANNED_MODULES
        and not (module == "random" and names(path) in MAY_IMPORT_RANDOM)
    ]
    wrong += [
        f"{names(path)}:{line} calls {name}"
        for path in FILES
        for name, line in calls(path)
        if name in BANNED_CALLS or name.rpartition(".")[2] in BANNED
    ]
    assert not wrong


def test_only_the_command_line_prints() -> None:
    wrong = [
        f"{names(path)}:{line}"
        for path in FILES
        if package(path) != "cli"
        for name, line in calls(path)
        if name == "print"
    ]
    assert not wrong


def test_the_test_sees_a_wrong_import(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from triggerfish.pipeline import run\n    torch.load(run)\n")
    assert [part(module) for module, _ in imports(bad)] == ["pipeline"]
    assert layer("pipeline") > layer("detect")
    assert ("torch.load", 3) in list(calls(bad))
