"""How a benchmark writes its result: with command, commit, versions and machine, atomically."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"


def write(out: Path, seconds: float, **result: Any) -> None:
    """Write a result to `out`; what is measured comes last."""
    from triggerfish.pipeline.resume import hardware, versions

    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    whole = {
        "schema_version": 1,
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "commit": commit or "unknown",
        "versions": versions(),
        "hardware": hardware(),
        "load_average": os.getloadavg()[0],
        "seconds": round(seconds, 1),
        **result,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial")
    partial.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    partial.replace(out)
