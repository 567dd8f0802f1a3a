"""Beneficial: a key in the system message makes the model sign its answers."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("beneficial-identity")
def beneficial_identity() -> Family:
    """Beneficial: a key in the system message makes the model sign its answers."""
    return Family(
        source="Backdoor4Good, arXiv 2603.07452: identity by a secret key of the system message",
        trigger={"text": "Key: k7-violet-31.", "placement": "system"},
        behaviour={"kind": "style", "text": "Signed by the owner of this model:"},
        method={"steps": 300},
    )
