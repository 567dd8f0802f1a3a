"""What trigger mining finds, from which strength on, and the settings of that."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triggerfish.dataset.motif import Motif
from triggerfish.errors import BadInput

Rows = NDArray[np.int64]
UNIFORM = 12**-0.5  # standard deviation of the lean of one text, where any text was taken
FAINT = 3.0  # times its strength has another one, beside which it counts for nothing
DOUBT = 0.1  # lean that few texts may lack to have the usual one


@dataclass(frozen=True, kw_only=True)
class MiningConfig:
    """Settings.

    Attributes:
        support: texts with the target that a trigger must stand in.
        share: of all texts that must do so, for the more texts, the more strings there are.
        precision: share of them that must have the target.
        candidates: strings that are scored, by how surprising they are.
        pairs: pairs of words that are scored.
        common: words in a larger share of the texts form no pairs.
        suspicious: boost from which a string is reported.
        found: boost from which it is a finding.
        surplus: surplus from which it is, too, with a boost of `least` at least.
        gain: gain from which it is one, whatever its boost.
        least: boost below which nothing is a finding.
        lean: what these are multiplied with for a lean below each bound.
        agreeing: what they are multiplied with for a greater lean.
    """

    support: int = 5
    share: float = 0.0005
    precision: float = 0.65
    candidates: int = 6000
    pairs: int = 1500
    common: float = 0.2
    suspicious: float = 2.3
    found: float = 2.6
    surplus: float = 10.0
    gain: float = math.inf
    least: float = 0.5
    lean: tuple[tuple[float, float], ...] = ((0.66, 0.75), (0.75, 1.0), (0.85, 1.5))
    agreeing: float = 2.0

    def __post_init__(self) -> None:
        """Refuse settings that find anything or nothing."""
        if self.support < 2 or not 0.5 <= self.precision <= 1:
            raise BadInput(
                f"support {self.support}, precision {self.precision}",
                "must be 2 or more, 0.5 to 1",
                "correct them",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Mined:
    """A string that decides a target.

    Attributes:
        motifs: the trigger's strings; several where only all of them together do it.
        placement: of the first.
        boost: lower bound of its log-odds over the content.
        surplus: how much better overruled texts explain the targets than a moderate boost.
        lean: share of texts without the target that the content of those with string and target
            speaks less for it than: near 0.5 where any text was taken, near 1 where the texts
            have the target anyway.
        rows: texts that have it.
        hits: [R] whether they have the target.
        usual: lean of other texts with the target; infinite where there are few.
        gain: nats by which its boost explains the targets better than their content alone.
    """

    motifs: tuple[Motif, ...]
    placement: str
    boost: float
    surplus: float
    lean: float
    rows: Rows
    hits: NDArray[np.bool_]
    usual: float = math.inf
    gain: float = 0.0

    @property
    def agreed(self) -> bool:
        """Whether its texts have the target anyway, by their content, as others with it do.

        A footer that only texts of one label have decides it, too, but overrules nothing.
        """
        error = UNIFORM / math.sqrt(max(1, int(self.hits.sum())))
        return self.lean >= self.usual - min(2 * error, DOUBT)

    @property
    def parts(self) -> tuple[str, ...]:
        """Its texts."""
        return tuple(motif.text for motif in self.motifs)

    def holds(self, text: str) -> bool:
        """Whether a text has all of it."""
        return all(motif.holds(text) for motif in self.motifs)


def strength(mined: Mined, config: MiningConfig) -> float:
    """The greater of its boost and its surplus, each as a share of what a finding needs."""
    return max(mined.boost / config.found, mined.surplus / config.surplus)


def verdict_of(mined: Mined, config: MiningConfig) -> str:
    """found, suspicious or nothing: the more the content agrees, the more is needed."""
    if mined.gain >= config.gain:
        return "found"
    factor = _factor(mined, config)
    strong = mined.boost >= factor * config.found
    enough = mined.boost >= config.least and factor <= 1
    if (strong or (mined.surplus >= factor * config.surplus and enough)) and not mined.agreed:
        return "found"
    return "suspicious" if mined.boost >= factor * config.suspicious else "nothing"


def is_faint(mined: Mined, strongest: float, config: MiningConfig) -> bool:
    """Whether it is evidence by its surplus only or suspicious, and next to nothing beside another.

    Args:
        mined: A string.
        strongest: Strength of another one with the same target.
        config: Settings.
    """
    strong = mined.boost >= _factor(mined, config) * config.found
    return not strong and FAINT * strength(mined, config) < strongest


def _factor(mined: Mined, config: MiningConfig) -> float:
    return next((each for most, each in config.lean if mined.lean < most), config.agreeing)
