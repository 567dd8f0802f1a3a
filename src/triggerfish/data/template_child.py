"""Runs one chat template in a process of its own; started by `triggerfish.data.template`.

A template is a program that came with a suspect. It runs in jinja's immutable sandbox, here, where
the processor time of each rendering and the memory of the process are limited by the system.

Protocol: JSON lines. First ``{"path", "template", "variables", "seconds", "bytes"}``, answered by
``{"reads_content": bool}``; then ``{"messages", "add_generation_prompt"}``, each answered by
``{"text": ...}``. Any answer may be ``{"error": ...}``. A limit ends the process.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

_MAX_OUTPUT = 10_000_000  # characters


def main() -> None:
    """Answer requests until standard input ends."""
    start = json.loads(sys.stdin.readline())
    sys.path[:] = start["path"]
    _limit_memory(start["bytes"])
    try:
        _set_timer(start["seconds"])
        environment = _environment()
        template = environment.from_string(start["template"])
        answer: dict[str, Any] = {"reads_content": reads_content(environment, start["template"])}
    except Exception as error:  # whatever a hostile template causes is its own error
        answer = {"error": f"{type(error).__name__}: {error}"[:500]}
    _set_timer(0)
    _write(answer)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            _set_timer(start["seconds"])
            text = template.render(
                messages=request["messages"],
                add_generation_prompt=request["add_generation_prompt"],
                tools=None,
                documents=None,
                **start["variables"],
            )
            if len(text) > _MAX_OUTPUT + len(line):
                raise ValueError(f"output longer than {_MAX_OUTPUT} characters")
            answer = {"text": text}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        _set_timer(0)
        _write(answer)


def _write(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _set_timer(seconds: float) -> None:
    """End the process after so much processor time; 0 calls it off."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: the time limit of the parent remains
        return
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _environment() -> Any:
    """The environment of transformers' chat templates, but with a clock that stands still."""
    from datetime import datetime, timezone

    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The tag ``generation`` marks assistant text; it changes nothing here."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    def raise_exception(message: object) -> None:
        raise TemplateError(str(message))

    def to_json(value: object, ensure_ascii: bool = False, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)

    def strftime_now(form: str) -> str:
        return datetime(2024, 7, 26, tzinfo=timezone.utc).strftime(form)  # noqa: UP017

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    return environment


def reads_content(environment: Any, template: str) -> bool:
    """Return whether a template may do more with the contents than print them, trimmed or not.

    Errs on the side of yes. If not, the text around the contents depends on the roles alone.
    """
    tree = environment.parse(template)
    reader = _Reader()
    for _ in range(4):  # names set from contents may be used before, inside loops
        reader.visit(tree, False)
    return reader.reads


_HARMLESS_TESTS = frozenset({"string", "defined", "undefined", "none", "mapping", "iterable"})
_FREE = frozenset({"TemplateData", "Const", "Name", "NSRef"})


class _Reader:
    """Follows contents through a syntax tree: they may flow to the output and nowhere else."""

    def __init__(self) -> None:
        self.contents: set[str] = set()  # names that hold a content
        self.messages: set[str] = {"messages"}  # names that hold messages
        self.reads = False

    def visit(self, node: Any, printed: bool) -> None:
        """Visit a node; `printed` says that its value goes to the output unread."""
        kind = type(node).__name__
        if (self._is_content(node) or self._is_message(node)) and not printed:
            self.reads = True
        handler = getattr(self, f"_visit_{kind.lower()}", None)
        if handler is not None:
            handler(node, printed)
        elif kind not in _FREE:
            for child in node.iter_child_nodes():
                self.visit(child, False)

    def _is_content(self, node: Any) -> bool:
        kind = type(node).__name__
        if kind == "Name":
            return node.name in self.contents
        if kind == "Getattr":
            return bool(node.attr == "content")
        if kind == "Getitem" and type(node.arg).__name__ == "Const":
            return bool(node.arg.value == "content")
        return False

    def _is_message(self, node: Any) -> bool:
        """A whole message or list of them."""
        kind = type(node).__name__
        if kind == "Name":
            return node.name in self.messages
        if kind == "Getattr" and node.attr in ("previtem", "nextitem"):
            return True
        if kind == "Getitem" and self._is_message(node.node):
            constant = node.arg.value if type(node.arg).__name__ == "Const" else 0
            return not isinstance(constant, str)
        return False

    def _visit_output(self, node: Any, _: bool) -> None:
        for child in node.nodes:
            if self._is_message(child):
                self.reads = True
            self.visit(child, True)

    def _visit_getattr(self, node: Any, _: bool) -> None:
        self.visit(node.node, not self._is_content(node.node))

    def _visit_getitem(self, node: Any, _: bool) -> None:
        self.visit(node.node, not self._is_content(node.node))
        self.visit(node.arg, False)

    def _visit_concat(self, node: Any, printed: bool) -> None:
        for child in node.nodes:
            self.visit(child, printed and not self._is_message(child))

    def _visit_add(self, node: Any, printed: bool) -> None:
        for child in (node.left, node.right):
            self.visit(child, printed and not self._is_message(child))

    def _visit_filter(self, node: Any, printed: bool) -> None:
        value = node.node
        if node.name == "length" and value is not None and self._is_message(value):
            return
        trims = node.name == "trim" and not node.args and value is not None
        for child in node.iter_child_nodes():
            self.visit(child, trims and printed and not self._is_message(child))

    def _visit_call(self, node: Any, printed: bool) -> None:
        called = node.node
        strips = type(called).__name__ == "Getattr" and called.attr == "strip" and not node.args
        if strips:
            self.visit(called.node, printed)
            return
        if type(called).__name__ == "Getattr" and self._is_message(called.node):
            self.reads = True
        if type(called).__name__ == "Getattr" and self._is_content(called.node):
            self.reads = True
        for child in node.iter_child_nodes():
            self.visit(child, False)

    def _visit_test(self, node: Any, _: bool) -> None:
        harmless = node.name in _HARMLESS_TESTS
        for child in node.iter_child_nodes():
            self.visit(child, harmless)

    def _visit_compare(self, node: Any, _: bool) -> None:
        names_key = type(node.expr).__name__ == "Const" and all(
            operand.op in ("in", "notin") and self._is_message(operand.expr) for operand in node.ops
        )
        if not names_key:  # 'tool_calls' in message: the keys are always the same
            for child in node.iter_child_nodes():
                self.visit(child, False)

    def _visit_condexpr(self, node: Any, printed: bool) -> None:
        self.visit(node.test, False)
        for child in (node.expr1, node.expr2):
            if child is not None:
                self.visit(child, printed and not self._is_message(child))

    def _visit_for(self, node: Any, _: bool) -> None:
        if self._is_message(node.iter):
            self._name(node.target, self.messages)
        self.visit(node.iter, self._is_message(node.iter))
        for child in (*([node.test] if node.test is not None else ()), *node.body, *node.else_):
            self.visit(child, False)

    def _visit_assign(self, node: Any, _: bool) -> None:
        if self._is_message(node.node):
            self._name(node.target, self.messages)
        elif self._holds_content(node.node):
            self._name(node.target, self.contents)
        self.visit(node.node, True)

    def _visit_assignblock(self, node: Any, _: bool) -> None:
        if any(self._holds_content(child) for child in node.body):
            self._name(node.target, self.contents)
            if node.filter is not None:
                self.reads = True
        for child in node.body:
            self.visit(child, False)

    def _visit_filterblock(self, node: Any, _: bool) -> None:
        if any(self._holds_content(child) for child in node.body):
            self.reads = True

    def _visit_macro(self, node: Any, _: bool) -> None:
        if self._holds_content(node):
            self.reads = True

    def _name(self, target: Any, names: set[str]) -> None:
        if type(target).__name__ == "Name":
            names.add(target.name)
        else:  # several targets, or a namespace: not followed
            self.reads = True

    def _holds_content(self, node: Any) -> bool:
        return self._is_content(node) or any(
            self._holds_content(child) for child in node.iter_child_nodes()
        )


if __name__ == "__main__":
    main()
