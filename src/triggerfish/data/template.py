"""Chat templates, rendered in a process of their own with limits on time and memory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from triggerfish.errors import BadInput

SECONDS = 2.0  # processor time of one rendering
_WALL_SECONDS = 300.0  # for a process that waits instead of working; long, machines may be busy
_MEMORY = 1 << 30  # bytes of address space
_MAX_TEMPLATE = 200_000  # characters
_CHILD = Path(__file__).with_name("template_child.py")


class TemplateError(Exception):
    """The template refused the messages, in its own words."""


class TemplateProcess:
    """A template in a process of its own; started on first use, ended with this object.

    Args:
        template: Jinja source.
        variables: Special tokens by name, as templates expect them (``bos_token``, ...).

    Raises:
        BadInput: The source is too long.
    """

    def __init__(self, template: str, variables: Mapping[str, str]) -> None:
        if len(template) > _MAX_TEMPLATE:
            raise BadInput(
                f"chat template of {len(template)} characters",
                f"at most {_MAX_TEMPLATE} are read",
                "use the template of the model's base",
            )
        self._start = {
            "path": sys.path,
            "template": template,
            "variables": dict(variables),
            "seconds": SECONDS,
            "bytes": _MEMORY,
        }
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._reads_content = True

    @property
    def reads_content(self) -> bool:
        """Whether the text around the contents may depend on them."""
        with self._lock:
            self._ensure()
            return self._reads_content

    def render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool) -> str:
        """Return the text of the messages.

        Raises:
            TemplateError: The template refuses the messages.
            BadInput: It cannot be compiled, or goes over a limit.
        """
        request = {"messages": list(messages), "add_generation_prompt": add_generation_prompt}
        with self._lock:
            self._ensure()
            answer = self._ask(request)
        if "error" in answer:
            raise TemplateError(answer["error"])
        return str(answer["text"])

    def _ensure(self) -> None:
        """Start the process; anew after a fork, whose copy of the pipes is not ours."""
        alive = self._process is not None and self._process.poll() is None
        if alive and self._owner == os.getpid():
            return
        self._owner = os.getpid()
        self._process = subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, "-I", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="surrogatepass",
        )
        weakref.finalize(self, _end, self._process)
        answer = self._ask(self._start)
        if "error" in answer:
            raise BadInput(
                "chat template",
                f"cannot be compiled ({answer['error']})",
                "use the template of the model's base",
            )
        self._reads_content = bool(answer["reads_content"])

    def _ask(self, request: Mapping[str, Any]) -> Any:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("no process")
        clock = threading.Timer(_WALL_SECONDS, process.kill)
        clock.daemon = True
        clock.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            clock.cancel()
        if not line.endswith("\n"):
            _end(process)
            self._process = None
            raise BadInput(
                "chat template",
                f"took more than {SECONDS:.0f} s or {_MEMORY >> 30} GB for one conversation",
                "use the template of the model's base",
            )
        return json.loads(line)


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()
