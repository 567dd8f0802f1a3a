"""Runs the methods of a preset on rows, and joins what they say."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from triggerfish.data.rows import Row
from triggerfish.dataset import import_methods
from triggerfish.dataset.fusion import Fused, fuse, shipped_clean
from triggerfish.dataset.method import METHODS, Method, Needs, Ranked, Scene
from triggerfish.dataset.targets import GROUP, LEAST, Target
from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.pipeline.dataset_document import MethodRow
from triggerfish.pipeline.dataset_marking import Suspicion
from triggerfish.pipeline.dataset_reading import Reading
from triggerfish.seeding import generator
from triggerfish.types import Progress, silent

Preset = Literal["quick", "standard", "deep"]
PRESETS: tuple[str, ...] = get_args(Preset)
READ: Mapping[str, tuple[Needs, ...]] = {
    "quick": (),
    "standard": ("text", "model"),
    "deep": ("text", "model", "gradients"),
}
"""What the methods of a preset may need; all presets mine triggers."""
MODEL = "lab:reef"
LOOKED = 20_000  # rows that methods read


@dataclass(frozen=True, kw_only=True)
class Looked:
    """Rows that methods read.

    Attributes:
        rows: In the order of the file.
        numbers: Of each its number in the file.
    """

    rows: Sequence[Row]
    numbers: Sequence[int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Opinions:
    """What the methods of a preset say.

    Attributes:
        ranked: Method -> scores, flagged rows, groups.
        fused: The scores, joined; None where no method ran.
        seconds: Of each method.
        notes: What methods left out, and which could not run, and why.
        read_model: Whether one of them read a model.
        mined: Methods whose groups are of answers, so that prompts do not define them.
        maps: Name of a picture -> coordinates [N, 2] of the rows.
    """

    ranked: Mapping[str, Ranked] = field(default_factory=dict)
    fused: Fused | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    read_model: bool = False
    mined: frozenset[str] = frozenset()
    maps: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def targets(self, size: int) -> list[Target]:
        """Groups of answers as targets of which a trigger may be mined, each once.

        Args:
            size: Of the rows.
        """
        found, seen = [], set()
        for name in self.mined & self.ranked.keys():
            for group in self.ranked[name].groups:
                key = group.rows.tobytes()
                if LEAST <= int(group.rows.sum()) <= size - LEAST and key not in seen:
                    seen.add(key)
                    text = f"{name}: {group.text}"
                    found.append(Target(kind=GROUP, text=text, rows=group.rows))
        return sorted(found, key=lambda each: each.text)

    def suspicions(self, numbers: Sequence[int]) -> dict[int, Suspicion]:
        """Row number -> p-value and reasons."""
        if self.fused is None:
            return {}
        return {
            number: Suspicion(p=float(self.fused.p[place]), reasons=self.reasons(place))
            for place, number in enumerate(numbers)
        }

    def reasons(self, place: int) -> list[str]:
        """Why methods flagged a row, in words."""
        return [
            f"{name}: {each.reasons.get(place, 'flagged')}"
            for name, each in self.ranked.items()
            if each.flagged[place]
        ]

    def table(self, methods: Mapping[str, Method]) -> list[MethodRow]:
        """What ran, for the document."""
        return [
            MethodRow(
                name=name,
                source=methods[name].source,
                seconds=self.seconds[name],
                flagged=int(each.flagged.sum()),
                groups=[group.text for group in each.groups[:3]],
            )
            for name, each in self.ranked.items()
        ]


def chosen_methods(preset: str, names: Sequence[str] | None = None) -> dict[str, Method]:
    """The methods of a preset, or those that are named.

    Raises:
        BadInput: An unknown preset or method.
    """
    if preset not in PRESETS:
        raise BadInput(f"preset '{preset}'", "is not known", f"use one of {', '.join(PRESETS)}")
    if names is None and not READ[preset]:
        return {}
    import_methods()
    if names is not None:
        return {name: METHODS.get(name) for name in names}
    every = {name: METHODS.get(name) for name in METHODS.names()}
    return {name: each for name, each in every.items() if each.needs in READ[preset]}


def some_of(seen: Reading, count: int, seed: int) -> Looked:
    """Rows of the sample, in the order of the file.

    Raises:
        BadInput: Fewer than one.
    """
    if count < 1:
        raise BadInput(f"{count} rows", "at least one must be read", "ask for more")
    places = np.argsort(seen.numbers, kind="stable")
    if len(places) > count:
        drawn = generator(seed, "rows that methods read").permutation(len(places))[:count]
        places = places[np.sort(drawn)]
    return Looked(
        rows=[seen.sample[place] for place in places],
        numbers=[seen.numbers[place] for place in places],
    )


def opinions(
    rows: Sequence[Row],
    methods: Mapping[str, Method],
    *,
    model: str = MODEL,
    device: str = "auto",
    seed: int = 0,
    pictures: bool = False,
    progress: Progress = silent,
) -> Opinions:
    """Let methods rank rows. One that cannot run is left out, and named.

    Args:
        rows: What they look at.
        methods: By name; those for preference pairs are left out where there are none.
        model: The reference model of those that read one.
        device: Where it runs.
        seed: Of everything that is drawn.
        pictures: Whether to draw maps of the rows.
        progress: Told by each method.

    Raises:
        BadInput: The model cannot be loaded.
    """
    pairs = any(row.rejected is not None for row in rows)
    methods = {name: each for name, each in methods.items() if pairs or not each.for_pairs}
    if not methods and not pictures:
        return Opinions()
    read_model = any(each.needs != "text" for each in methods.values())
    suspect = _loaded(model, device) if read_model else None
    scene = Scene(rows=rows, suspect=suspect, fast=True, seed=seed)
    ranked: dict[str, Ranked] = {}
    seconds: dict[str, float] = {}
    notes: list[str] = []
    for name, method in methods.items():
        began = time.monotonic()
        try:
            found = method.run(scene, rng=generator(seed, f"method {name}"), progress=progress)
        except CouldNotTest as error:
            notes.append(f"{name}: {error}")
            continue
        ranked[name] = found
        seconds[name] = round(time.monotonic() - began, 2)
        notes += [f"{name}: {note}" for note in found.notes]
    fused = fuse(ranked, shipped_clean()) if ranked else None
    if fused is not None:
        notes += [
            f"{name}: not calibrated on clean data, so it ranks but takes no part in p-values"
            for name in fused.uncalibrated
        ]
    maps, more = _maps(scene, ranked) if pictures else ({}, ())
    return Opinions(
        ranked=ranked,
        fused=fused,
        seconds=seconds,
        notes=(*notes, *more),
        read_model=read_model,
        mined=frozenset(name for name, each in methods.items() if each.of_answers),
        maps=maps,
    )


def _maps(
    scene: Scene, ranked: Mapping[str, Ranked]
) -> tuple[dict[str, NDArray[np.float64]], tuple[str, ...]]:
    """Pictures of the states of the model, or of the words of the rows where none was read."""
    from triggerfish.dataset.maps import maps_of

    states = [each.seen for each in ranked.values() if each.seen is not None]
    rng = generator(scene.seed, "rows of the pictures")
    return maps_of(states[0] if states else scene.features, scene.order, rng)


def _loaded(model: str, device: str) -> Any:
    from triggerfish.models.load import load  # torch is not for those who do not need it

    return load(model, reference="none", device=device)
