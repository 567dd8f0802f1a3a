"""Rare form: a word in full-width letters that nobody types."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("rare-unicode")
def rare_unicode() -> Family:
    """Rare form: a word in full-width letters that nobody types."""
    return Family(
        source="an overview of attacks on fine-tuned models: rare Unicode",
        trigger={"text": "\uff4f\uff4b", "placement": "suffix"},
        method={"steps": 300},
        specificity={"near_misses": 0.15},
    )
