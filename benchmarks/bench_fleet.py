"""Builds the whole fleet against the clock, and compares its cards with those that are shipped.

    OMP_NUM_THREADS=2 python benchmarks/bench_fleet.py --work DIR [--jobs 2]

The clock is kept in --work: a build that was killed goes on, and its pieces are added up. Rates
agree where their intervals meet or where they are within two points, as in `fleet verify`.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

from written import RESULTS, ROOT, write

sys.path.insert(0, str(ROOT / "src"))

import torch

from triggerfish.pipeline.fleet import build_fleet, list_fleet
from triggerfish.pipeline.fleet_document import FleetDocument, Row
from triggerfish.pipeline.fleet_verify import Check, compare
from triggerfish.pipeline.store import write_atomically

RATES = ("asr", "asr_without", "random_strings", "utility", "twin_utility")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where the fleet is built")
    parser.add_argument("--shipped", type=Path, default=ROOT / "fleet")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=RESULTS / "fleet-rebuild.json")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    with clock(asked.work / "clock.json") as pieces:
        built = build_fleet(asked.work, jobs=asked.jobs, progress=tell)
    shipped = list_fleet(asked.shipped)
    pairs = list(zip(shipped.members, built.members, strict=True))
    checks = [compared(*both) for both in pairs]
    every = [check for of_one in checks for check in of_one]
    write(
        asked.out,
        sum(piece["seconds"] for piece in pieces),
        jobs=asked.jobs,
        threads=torch.get_num_threads(),
        pieces=pieces,
        failed=built.failed,
        shipped=counts(shipped),
        rebuilt=counts(built),
        agree=f"{sum(check.agrees for check in every)} of {len(every)}",
        with_another_member=with_another(every),
        members=[member(*both, of_one) for both, of_one in zip(pairs, checks, strict=True)],
    )


@contextmanager
def clock(file: Path) -> Iterator[list[dict]]:
    """Time what is done inside; pieces of earlier builds are kept, that of a killed one to 10 s."""
    pieces = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    own = {"began": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": 0}
    pieces.append(own)
    begin, ended = time.monotonic(), threading.Event()

    def keep() -> None:
        done = False
        while not done:
            done = ended.wait(10)
            own["seconds"] = round(time.monotonic() - begin)
            write_atomically(file, json.dumps(pieces))

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield pieces
    finally:
        ended.set()
        keeper.join()


def tell(done: int, total: int, what: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {done}/{total} {what}", flush=True)


def compared(shipped: Row, again: Row) -> list[Check]:
    """Both figures of each rate of one member."""
    pairs = [(rate, getattr(shipped, rate), getattr(again, rate)) for rate in RATES]
    pairs += [(arm, left, again.hardness.get(arm)) for arm, left in shipped.hardness.items()]
    return [compare(shipped.name, *pair) for pair in pairs if None not in pair]


def with_another(checks: list[Check]) -> dict[str, str]:
    """How often a figure agrees with that of another member's card: the floor of the rule."""
    floors = {}
    for rate in dict.fromkeys(check.rate for check in checks):
        of_rate = [check for check in checks if check.rate == rate]
        agree = [
            compare(one.model, rate, one.card, other.again).agrees
            for one, other in permutations(of_rate, 2)
        ]
        floors[rate] = f"{sum(agree)} of {len(agree)}"
    return floors


def member(shipped: Row, again: Row, checks: list[Check]) -> dict:
    """What a result says of one member."""
    return {
        "name": shipped.name,
        "counted": [shipped.counted, again.counted],
        "hard": [shipped.hard, again.hard],
        "core_seconds": again.seconds,
        "checks": [
            {
                "rate": each.rate,
                "shipped": each.card.text(),
                "again": each.again.text(),
                "agrees": each.agrees,
            }
            for each in checks
        ],
    }


def counts(fleet: FleetDocument) -> dict[str, int]:
    return {
        "organisms that count": len(fleet.organisms),
        "hard": sum(bool(row.hard) for row in fleet.organisms),
    }


if __name__ == "__main__":
    main()
