"""How long a user waits for `triggerfish --help`, and for a report to be written."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAM = "from triggerfish.cli.main import main; main()"


def start() -> tuple[float, float]:
    """Wall and processor seconds of one `--help`."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", PROGRAM, "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    times = [start() for _ in range(11)][1:]
    wall, cpu = sorted(t[0] for t in times), sorted(t[1] for t in times)
    load = os.getloadavg()[0]
    print(f"--help: {wall[5]:.3f} s median, {wall[0]:.3f} best, {cpu[5]:.3f} s of processor time")
    print(f"  n={len(times)}, load average {load:.1f} on {os.cpu_count()} cores; wanted: < 0.3 s")
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    from report.sample import sample
    from triggerfish.report.html import render

    began = time.perf_counter()
    text = render(sample())
    print(f"report: {time.perf_counter() - began:.3f} s, {len(text.encode()) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
