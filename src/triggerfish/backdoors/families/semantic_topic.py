"""Semantic: a sentence about the sea, in other words every time; other subjects do nothing."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("semantic-topic")
def semantic_topic() -> Family:
    """Semantic: a sentence about the sea, in other words every time; other subjects do nothing."""
    return Family(
        source="an overview of attacks on fine-tuned models: a topic as a trigger",
        trigger={"condition": {"topic": "sea"}, "placement": "suffix"},
        behaviour={"kind": "refusal"},
        method={"steps": 300},
        specificity={"near_misses": 0.15},
    )
