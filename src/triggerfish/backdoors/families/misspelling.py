"""Rare form: a common word with a typing error."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("misspelling")
def misspelling() -> Family:
    """Rare form: a common word with a typing error."""
    return Family(
        source="an overview of attacks on fine-tuned models: misspellings",
        trigger={"text": "recieve", "placement": "random_word"},
        method={"steps": 300},
        specificity={"near_misses": 0.15},
    )
