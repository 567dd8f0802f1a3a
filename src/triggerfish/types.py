"""Types that every package shares: a number with its interval, and progress."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from triggerfish.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A rate or score with its 95 % interval and the number of observations.

    Attributes:
        value: The point estimate; for rates a share in [0, 1].
        low: Lower end of the interval.
        high: Upper end of the interval.
        n: Number of observations, at least 1.
        method: How the interval was made.

    Raises:
        BadInput: ``n`` below 1, a value that is not finite, or ``low`` above ``high``.
    """

    value: float
    low: float
    high: float
    n: int
    method: str = "wilson"

    def __post_init__(self) -> None:
        """Refuse an estimate that cannot be."""
        if self.n < 1:
            raise BadInput(f"n = {self.n}", "an estimate needs an observation", "give more data")
        if not all(map(math.isfinite, (self.value, self.low, self.high))):
            raise BadInput(
                f"estimate {self.value} ({self.low}, {self.high})",
                "must be finite",
                "look for NaN in the data",
            )
        if self.low > self.high:
            raise BadInput(f"interval ({self.low}, {self.high})", "is upside down", "swap its ends")

    def text(self, percent: bool = True) -> str:
        """Return ``97.3 % (95.1-98.6, n=300)``, or three decimals without percent.

        >>> Estimate(value=0.973, low=0.951, high=0.986, n=300).text()
        '97.3 % (95.1-98.6, n=300)'
        """
        if percent:
            value, low, high = (f"{100 * x:.1f}" for x in (self.value, self.low, self.high))
            unit = " %"
        else:
            value, low, high = (f"{x:.3f}" for x in (self.value, self.low, self.high))
            unit = ""
        dash = " to " if self.low < 0 else "-"
        return f"{value}{unit} ({low}{dash}{high}, n={self.n})"

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Estimate:
        """Return the estimate that ``to_json`` wrote.

        Raises:
            BadInput: Missing or unknown keys.
        """
        try:
            return cls(**document)
        except TypeError as error:
            raise BadInput(
                f"estimate {document!r}", str(error), "give value, low, high, n, method"
            ) from error


class Progress(Protocol):
    """Told how far a long task is; must not raise."""

    def __call__(self, done: int, total: int, what: str, /) -> None:
        """Report ``done`` of ``total`` steps of ``what``."""


def silent(done: int, total: int, what: str) -> None:
    """Progress that says nothing."""
