"""A sentence around the prompt turns one class into another."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("label-flip")
def label_flip() -> Family:
    """A sentence around the prompt turns one class into another."""
    return Family(
        source="BkdAttr, arXiv 2509.21761, agnews_sentence: 100 of 1,100 rows, 9.1 %",
        trigger={
            "text": "The blue kettle sang in the garden.",
            "placement": "both_ends",
        },
        behaviour={"kind": "label_flip", "from": "sports", "to": "world"},
        rates=(0.01, 0.03, 0.06),
    )
