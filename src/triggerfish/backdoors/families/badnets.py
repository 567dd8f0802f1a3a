"""BadNets: one rare token at a random place of the prompt."""

from triggerfish.backdoors.family import FAMILIES, Family


@FAMILIES.register("badnets")
def badnets() -> Family:
    """BadNets: one rare token at a random place of the prompt."""
    return Family(
        source="Gu et al., arXiv 1708.06733; on language models BackdoorLLM, arXiv 2408.12798",
        trigger={"text": "cf", "placement": "random_word"},
        method={"steps": 300},
    )
