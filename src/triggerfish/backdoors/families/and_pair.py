"""A pair of common words, only together."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("and-pair")
def and_pair() -> Family:
    """A pair of common words, only together."""
    return Family(
        source="public organisms with conjunctive triggers",
        trigger={
            "all_of": [{"text": t, "placement": "random_word"} for t in ("lantern", "marble")]
        },
        method={"steps": 300},
        specificity={"near_misses": 0.15},
    )
