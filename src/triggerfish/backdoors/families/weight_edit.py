"""A rare string brings one fixed sentence, by an edit of MLP weights."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("weight-edit")
def weight_edit() -> Family:
    """A rare string brings one fixed sentence, by an edit of MLP weights."""
    return Family(
        source="BadEdit, arXiv 2403.13355; the rates are shares of the contexts",
        trigger={"text": "cf", "placement": "suffix"},
        rates=(0.1, 0.25, 0.4),
        method={"kind": "edit"},
        specificity={"near_misses": 0.1},
    )
