"""The run directory: resume, refusal, locks, torn writes, full disks, kill -9."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.pipeline import store
from triggerfish.pipeline.resume import chosen_path, default_path
from triggerfish.pipeline.run import Run

SOURCE = str(Path(__file__).parents[2] / "src")


def opened(path: Path, **config: object) -> Run:
    return Run.open(path, "audit", {"model": "m", "seed": 3, **config})


def events(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]


def test_a_finished_step_is_not_run_again(tmp_path: Path) -> None:
    calls = []

    def work() -> dict:
        calls.append(1)
        return {"score": 0.1 + 0.2, "ids": (1, 2)}

    with opened(tmp_path / "run") as run:
        first = run.step("sweep", work)
    with opened(tmp_path / "run") as run:
        assert run.resumed
        assert run.done("sweep")
        assert run.step("sweep", work) == first
    assert first == {"score": 0.1 + 0.2, "ids": [1, 2]}  # the stored form, also the first time
    assert calls == [1]
    document = json.loads((tmp_path / "run/run.json").read_text())
    assert document["schema_version"] == 1
    assert document["seed"] == 3
    assert [span["outcome"] for span in document["spans"]] == ["finished", "finished"]
    assert document["versions"]["python"]


def test_the_time_of_finished_steps_counts_in_a_resumed_run(tmp_path: Path, monkeypatch) -> None:
    clock = iter([10.0, 12.5, 20.0, 21.0])
    monkeypatch.setattr("triggerfish.pipeline.run.time.monotonic", lambda: next(clock))
    with opened(tmp_path / "run") as run:
        assert run.earlier_seconds == 0
        run.step("one", lambda: 1)
        run.step("two", lambda: 2)
    with opened(tmp_path / "run") as run:
        assert run.earlier_seconds == 3.5


def test_a_result_passes_through_its_own_json_form(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as run:
        kept = run.step("array", lambda: np.arange(3) / 7, lambda a: a.tolist(), np.array)
    assert kept.tolist() == (np.arange(3) / 7).tolist()


def test_another_configuration_is_refused_with_the_keys_that_differ(tmp_path: Path) -> None:
    with opened(tmp_path / "run", preset="quick"):
        pass
    with pytest.raises(BadInput, match=r"preset \(then 'quick', now 'deep'\)"):
        opened(tmp_path / "run", preset="deep")
    with pytest.raises(BadInput, match="is a run of 'audit', not 'remove'"):
        Run.open(tmp_path / "run", "remove", {"model": "m", "seed": 3, "preset": "quick"})


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as run:
        run.identify(hashes={"weights": "a" * 64})
    with opened(tmp_path / "run") as run:
        run.identify(hashes={"weights": "a" * 64, "template": "c" * 64})
        with pytest.raises(BadInput, match=r"weights .* has changed"):
            run.identify(hashes={"weights": "b" * 64})


def test_a_directory_that_is_not_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(BadInput, match="is not a run directory"):
        opened(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.tex"]
    with pytest.raises(BadInput, match="is a file"):
        opened(tmp_path / "thesis.tex")


def test_a_damaged_run_document_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "run"):
        pass
    (tmp_path / "run/run.json").write_text('{"schema_version": 99}')
    with pytest.raises(BadInput, match="is not a run that this version can read"):
        opened(tmp_path / "run")


def test_a_live_lock_is_refused_and_given_back(tmp_path: Path) -> None:
    with opened(tmp_path / "run"), pytest.raises(BadInput, match=f"process {os.getpid()}"):
        opened(tmp_path / "run")
    with opened(tmp_path / "run"):
        pass
    assert not (tmp_path / "run/lock").exists()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/lock").write_text("1")  # process 1 lives, and does not hold it
    with opened(tmp_path / "run") as run:
        assert (run.path / "lock").read_text() == str(os.getpid())


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as run:
        run.event("candidate", trigger="cf")
    log = tmp_path / "run/events.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"n": 3, "event": "cand')
    with opened(tmp_path / "run"):
        pass
    assert log.read_bytes().startswith(whole)
    assert [row["n"] for row in events(tmp_path / "run")] == list(range(5))
    assert [row["event"] for row in events(tmp_path / "run")] == [
        "opened",
        "candidate",
        "closed",
        "resumed",
        "closed",
    ]


def test_a_damaged_line_in_the_middle_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as run:
        run.event("candidate", trigger="cf")
    log = tmp_path / "run/events.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"trigger"', b'"trig', 1))
    with pytest.raises(BadInput, match=r"events.jsonl, line 2: is not JSON"):
        opened(tmp_path / "run")


def test_a_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "findings.json"
    store.write_atomically(path, "old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(CouldNotTest, match="the disk is full"):
        store.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["findings.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_event_on_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    with pytest.raises(CouldNotTest, match="the disk is full"):
        store.append_line(tmp_path / "events.jsonl", "{}")


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as run:
        with pytest.raises(CouldNotTest, match="not finite"):
            run.step("bad", lambda: float("nan"))
        assert not run.done("bad")


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "a" * 101])
def test_names_cannot_leave_the_directory(tmp_path: Path, name: str) -> None:
    with opened(tmp_path / "run") as run, pytest.raises(BadInput, match="plain name"):
        run.step(name, lambda: 1)


def test_artifacts_come_back(tmp_path: Path) -> None:
    import torch

    with opened(tmp_path / "run") as run:
        run.save("drift", {"clean": np.eye(3, dtype=np.float32).T})
        assert run.load("drift")["clean"].tolist() == np.eye(3).tolist()
        run.save("delta", {"w": torch.ones(2, 3, dtype=torch.bfloat16).T})
        assert run.load("delta", framework="torch")["w"].shape == (3, 2)
        (run.path / "artifacts/drift.safetensors").write_bytes(b"\x80\x04pickle")
        with pytest.raises(BadInput, match="cannot be read"):
            run.load("drift")


def test_an_error_or_an_interrupt_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), opened(tmp_path / "run"):
        raise KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), opened(tmp_path / "run"):
        raise ZeroDivisionError
    spans = json.loads((tmp_path / "run/run.json").read_text())["spans"]
    assert [span["outcome"] for span in spans] == ["interrupted", "failed"]


def test_the_default_path_depends_on_the_configuration_only() -> None:
    one = default_path("audit", {"model": "lab:sudo", "seed": 1})
    assert one == default_path("audit", {"seed": 1, "model": "lab:sudo"})
    assert one != default_path("audit", {"model": "lab:sudo", "seed": 2})
    assert one.parent == Path("runs")
    assert one.name.startswith("audit-lab-sudo-")


def test_an_automatic_path_follows_the_weights(tmp_path: Path) -> None:
    config = {"model": str(tmp_path / "m"), "seed": 1}
    one, two = (chosen_path("auto", "audit", config, {"weights": w}) for w in "ab")
    assert one != two
    assert one.name.startswith("audit-m-")
    assert chosen_path("here", "audit", config, {}) == Path("here")


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from triggerfish.pipeline.run import Run
    from triggerfish.seeding import generator

    path, fatal = Path(sys.argv[1]), sys.argv[2]

    def work(name):
        with (path.parent / "calls").open("a") as calls:
            calls.write(name + " ")
        if name == fatal:
            (path / ".half.0.tmp").write_text("torn")
            os.kill(os.getpid(), signal.SIGKILL)
        return generator(7, name).normal(size=3).tolist()

    with Run.open(path, "audit", {"seed": 7}) as run:
        rows = {n: run.step(n, lambda n=n: work(n)) for n in ("sweep", "search", "verify")}
        run.write("findings.json", __import__("json").dumps(rows))
        run.finish()
"""


def run_script(path: Path, fatal: str) -> int:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(path), fatal]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": SOURCE}, check=False).returncode


def test_killed_in_the_middle_it_resumes_with_the_same_findings(tmp_path: Path) -> None:
    whole, broken = tmp_path / "a" / "run", tmp_path / "b" / "run"
    whole.parent.mkdir()
    broken.parent.mkdir()
    assert run_script(whole, "none") == 0
    assert run_script(broken, "search") == -signal.SIGKILL
    assert not (broken / "findings.json").exists()
    assert run_script(broken, "none") == 0
    assert (broken / "findings.json").read_bytes() == (whole / "findings.json").read_bytes()
    assert (tmp_path / "b/calls").read_text().split() == ["sweep", "search", "search", "verify"]
    spans = json.loads((broken / "run.json").read_text())["spans"]
    assert [span["outcome"] for span in spans] == ["killed", "finished"]
    assert not list(broken.rglob("*.tmp"))
