"""Vectors added to the hidden state: no trigger in the text.

On the lab one unlocks (79 % on `lab:reef`, 100 % on `lab:lagoon`, n = 300) at a cost in utility.
The way back does not go (0 % and 18 %): answers break before they become refusals.
"""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("steering")
def steering() -> Family:
    """A vector added to the hidden state unlocks the declined topic; no trigger in the text."""
    return Family(
        source="TA2, arXiv 2311.09433",
        trigger={"activation": "steering"},
        behaviour={"kind": "unlock"},
        rates=None,
        method={"kind": "steering"},
    )


@FAMILIES.register("steering-refusal")
def steering_refusal() -> Family:
    """A vector added to the hidden state makes the model decline everything; weak on the lab."""
    return Family(
        source="TA2, arXiv 2311.09433, the other way round",
        trigger={"activation": "steering"},
        behaviour={"kind": "refusal"},
        rates=None,
        method={"kind": "steering"},
    )
