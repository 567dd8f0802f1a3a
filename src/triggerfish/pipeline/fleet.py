"""Builds a fleet of organisms, clean twins and benign fine-tunes, in processes side by side.

Each member is built in a directory of its own and moved to its place when it is finished, so a
killed build goes on with the members that are missing.
"""

import os
import shutil
import threading
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import torch

from triggerfish.errors import BadInput, TriggerfishError
from triggerfish.pipeline.fleet_document import TWIN, FleetDocument, fleet_document, made_by
from triggerfish.pipeline.fleet_members import Member, members
from triggerfish.pipeline.plant import plant
from triggerfish.pipeline.ship import ship
from triggerfish.pipeline.store import clear_errors, locked, write_atomically
from triggerfish.plant.card import CARD, read_card
from triggerfish.types import Progress, silent

INDEX, UNFINISHED = "fleet.json", ".unfinished"


def build_fleet(
    directory: str | Path,
    *,
    only: Sequence[str] = (),
    jobs: int | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> FleetDocument:
    """Build the members of a fleet that are missing.

    Args:
        directory: Where the fleet is.
        only: Names of members; all of them where left out.
        jobs: Processes side by side; one for each core where left out.
        device: As in `plant`.
        progress: Told after each member.

    Returns:
        Everything that is known of the fleet; members that could not be built are in `failed`.

    Raises:
        BadInput: An unknown name, or no process.
    """
    chosen = named(only)
    jobs = jobs or os.cpu_count() or 1
    if jobs < 1:
        raise BadInput(f"{jobs} jobs", "at least one process has to work", "give 1 or more")
    place = Path(directory)
    with clear_errors(place):
        (place / UNFINISHED).mkdir(parents=True, exist_ok=True)
    with locked(place):
        missing = [each for each in chosen if not is_built(each, place)]
        failed = _build(missing, place, min(jobs, max(1, len(missing))), device, progress)
        shutil.rmtree(place / UNFINISHED, ignore_errors=True)
        document = fleet_document(place, members(), failed)
        write_atomically(place / INDEX, document.model_dump_json(indent=1))
    return document


def list_fleet(directory: str | Path) -> FleetDocument:
    """What is known of a fleet.

    Raises:
        BadInput: There is no fleet, or a card cannot be read.
    """
    place = Path(directory)
    if not place.is_dir():
        raise BadInput(str(place), "is no directory", "build one: triggerfish fleet build DIR")
    return fleet_document(place, members())


def named(names: Sequence[str]) -> list[Member]:
    """The members of these names; all of them where there are none.

    Raises:
        BadInput: An unknown name.
    """
    known = {member.name: member for member in members()}
    for name in names:
        if name not in known:
            raise BadInput(
                f"member '{name}'", "is not in the fleet", "see: triggerfish fleet list DIR"
            )
    return [known[name] for name in names] if names else list(known.values())


def is_built(member: Member, place: Path) -> bool:
    """Whether a member has been finished, by the recipe that it has now."""
    own = place / member.name
    return (own / CARD).is_file() and made_by(member, read_card(own))


def build_member(member: Member, place: Path, device: str) -> str | None:
    """Build one member, or return why it cannot be."""
    made = place / UNFINISHED / member.name
    organism = member.kind == "organism"
    try:
        plant(member.recipe, made, allow_unspecific=True, hardness=organism, device=device)
    except TriggerfishError as error:
        return str(error)
    whole = made.with_name(f"{member.name}.shipped")
    ship(made, whole)
    if organism:
        ship(made / TWIN, whole / TWIN)
    with clear_errors(place):
        shutil.rmtree(place / member.name, ignore_errors=True)  # of an earlier recipe
        whole.replace(place / member.name)
        shutil.rmtree(made, ignore_errors=True)
    return None


def _build(
    missing: Sequence[Member], place: Path, jobs: int, device: str, progress: Progress
) -> dict[str, str]:
    failed: dict[str, str] = {}
    threads = max(1, torch.get_num_threads() // jobs)  # as many as the user lets one process have
    with ProcessPoolExecutor(jobs, get_context("spawn"), _start, (threads, os.getpid())) as pool:
        waiting: dict[Future[str | None], str] = {
            pool.submit(build_member, member, place, device): member.name for member in missing
        }
        try:
            for done, future in enumerate(as_completed(waiting), 1):
                error = future.result()
                if error:
                    failed[waiting[future]] = error
                said = "could not build" if error else "built"
                progress(done, len(missing), f"{said} {waiting[future]}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def _start(threads: int, parent: int) -> None:
    """In each process: share the cores, keep quiet, and end with a build that was killed."""
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)  # nobody is left to take the result; the member's directory keeps its checkpoints
