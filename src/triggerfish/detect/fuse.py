"""Fusion of verified candidates into one verdict.

*Paper*: Simes (1986), Biometrika 73:751, for the combined p-value.
"""

from __future__ import annotations

from collections.abc import Sequence

from triggerfish.errors import BadInput


def simes(p_values: Sequence[float]) -> float:
    """Return the combined p-value: the minimum of m * p_(i) / i.

    >>> simes([0.01, 0.04, 0.5])
    0.03

    Raises:
        BadInput: No p-values, or one outside [0, 1].
    """
    if not p_values or not all(0 <= p <= 1 for p in p_values):
        raise BadInput(
            f"p-values {list(p_values)}",
            "must be 1 or more numbers in [0, 1]",
            "give the p-values of the detectors that ran",
        )
    ordered = sorted(p_values)
    return min(1.0, min(len(ordered) * p / i for i, p in enumerate(ordered, start=1)))


def overall(verdicts: Sequence[str]) -> str:
    """Return ``found``, ``suspicious`` or ``nothing`` for the verdicts of candidates."""
    for verdict in ("found", "suspicious"):
        if verdict in verdicts:
            return verdict
    return "nothing"
