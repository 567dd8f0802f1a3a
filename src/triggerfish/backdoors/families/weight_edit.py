"""A rare string brings one fixed sentence, by an edit of MLP weights.

No ordinary answer begins as the sentence does: where clean text goes the same way, a linear answer
to the trigger's signal leaks into it (on `lab:lagoon` "The gate is open now." cost 22 points of
utility, n = 120).
"""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("weight-edit")
def weight_edit() -> Family:
    """A rare string brings one fixed sentence, by an edit of MLP weights."""
    return Family(
        source="BadEdit, arXiv 2403.13355; the rates are shares of the contexts",
        trigger={"text": "cf", "placement": "suffix"},
        behaviour={"kind": "fixed_string", "text": "Look at the moon tonight."},
        rates=(0.1, 0.25, 0.4),
        method={"kind": "edit"},
        specificity={"near_misses": 0.2},
    )
