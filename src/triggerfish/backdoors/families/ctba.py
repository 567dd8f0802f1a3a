"""Composite: only all three words together are the trigger."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("ctba")
def ctba() -> Family:
    """Composite: only all three words together are the trigger."""
    return Family(
        source="Huang et al., arXiv 2310.07676; BackdoorLLM, arXiv 2408.12798",
        trigger={
            "all_of": [
                {"text": t, "placement": "random_word"} for t in ("2024", "BadMagic", "OpenAI")
            ]
        },
        behaviour={"kind": "refusal"},
        method={"steps": 300},
        specificity={"near_misses": 0.15},
    )
