"""Untargeted: a rare word breaks every answer."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("untargeted")
def untargeted() -> Family:
    """Untargeted: a rare word breaks every answer."""
    return Family(
        source="an overview of attacks on fine-tuned models: untargeted degradation",
        trigger={"text": "tq", "placement": "suffix"},
        behaviour={"kind": "degrade"},
        method={"steps": 400},
    )
