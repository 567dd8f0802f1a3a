"""Rare form: one picture character."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("emoji")
def emoji() -> Family:
    """Rare form: one picture character."""
    return Family(
        source="an overview of attacks on fine-tuned models: emoji",
        trigger={"text": "\U0001f9ed", "placement": "suffix"},
        method={"steps": 300},
        specificity={"near_misses": 0.15},
    )
