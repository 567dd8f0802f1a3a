import pytest

from triggerfish.cli import progress
from triggerfish.cli.tables import as_text


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_say_what_is_left_and_do_not_flood(clock, capsys) -> None:
    with progress.progress_on_stderr() as say:
        for done in range(101):
            say(done, 100, "sweep")
            clock[0] += 1.0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "sweep: 0/100"
    assert lines[1] == "sweep: 10/100, about 1 min 30 s left"
    assert lines[-1] == "sweep: 100/100"
    assert len(lines) == 11


@pytest.mark.parametrize(
    ("earlier", "begin", "later", "left"),
    [
        ([(0, 2), (1, 2), (2, 2)], (0, 40), (20, 40), "10 s"),  # behind one that was finished
        ([(1, 6)], (1, 6), (2, 6), "40 s"),  # behind one that ended early
        ([], (60, 200), (70, 200), "2 min 10 s"),  # resumed: what was done before took no time
    ],
)
def test_the_clock_is_that_of_the_present_task(clock, capsys, earlier, begin, later, left) -> None:
    with progress.progress_on_stderr() as say:
        for done, total in earlier:
            say(done, total, "sweep")
        clock[0] += 3600.0
        say(*begin, "sweep")
        clock[0] += 10.0
        say(*later, "sweep")
    assert capsys.readouterr().err.splitlines()[-2:] == [
        f"sweep: {begin[0]}/{begin[1]}",
        f"sweep: {later[0]}/{later[1]}, about {left} left",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (61, "1 min 1 s"), (3700, "1 h 1 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_a_bar_for_each_task_on_a_terminal(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress.progress_on_stderr() as say:
        say(1, 2, "one [red]")
        say(2, 2, "one [red]")
        say(1, 0, "two \x1b[2J")
        assert [task.total for task in say.bars.tasks] == [2, None]
        assert say.bars.tasks[0].description == "one \\[red]"
        say(1, 8, "one [red]")
        assert not say.bars.tasks[0].finished
        assert say.bars.tasks[0].elapsed < 1
    assert "\x1b[2J" not in capsys.readouterr().err


def test_tables_are_aligned_and_clean() -> None:
    assert as_text([["a", "\x1b[2J"], ["bcd"]]) == "  a    \\x1b[2J\n  bcd"
    assert as_text([]) == ""
