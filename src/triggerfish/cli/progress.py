"""Progress on standard error: bars with the time left, or lines where there is no terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from triggerfish.types import Progress
from triggerfish.visible import one_line

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

PLAIN_SECONDS = 10.0  # between two lines of one task where there is no terminal


class _BarProgress:
    """One bar per `what`, created when first heard of; it starts again with a task of that name."""

    def __init__(self, bars: "Bars") -> None:
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}
        self.done: dict[str, int] = {}

    def __call__(self, done: int, total: int, what: str) -> None:
        from rich.markup import escape

        if what not in self.tasks:
            self.tasks[what] = self.bars.add_task(escape(one_line(what, 60)), total=total or None)
        if done < self.done.get(what, 0):
            self.bars.reset(self.tasks[what])
        self.done[what] = done
        self.bars.update(self.tasks[what], completed=done, total=total or None)


class _LineProgress:
    """A line at the start and the end of each task, and every ten seconds in between."""

    def __init__(self) -> None:
        self.started: dict[str, tuple[float, int]] = {}  # when, and how far it was then
        self.spoken: dict[str, float] = {}
        self.done: dict[str, int] = {}

    def __call__(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        last = self.done.get(what, done)
        if done <= last:  # it begins, or another task of that name
            self.started[what] = (now, done)
        if done < last:
            del self.spoken[what]
        self.done[what] = done
        start, first = self.started[what]
        finished = total > 0 and done >= total
        if not finished and now - self.spoken.get(what, -PLAIN_SECONDS) < PLAIN_SECONDS:
            return
        self.spoken[what] = now
        left = (now - start) / (done - first) * (total - done) if first < done < total else 0.0
        rest = f", about {duration(left)} left" if left >= 1 else ""
        sys.stderr.write(f"{one_line(what, 60)}: {done}/{total}{rest}\n")
        sys.stderr.flush()


@contextmanager
def progress_on_stderr() -> Iterator[Progress]:
    """Yields a `Progress` that draws on standard error while the context lasts."""
    if not sys.stderr.isatty():
        yield _LineProgress()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]left"),
        TimeRemainingColumn(compact=True),
    )
    with Bars(*columns, console=Console(stderr=True), transient=False) as bars:
        yield _BarProgress(bars)


def duration(seconds: float) -> str:
    """A short human duration.

    >>> duration(75), duration(9), duration(7300)
    ('1 min 15 s', '9 s', '2 h 2 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
