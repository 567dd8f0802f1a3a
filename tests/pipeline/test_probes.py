"""How long answers to probes may be."""

from triggerfish.backdoors.backdoor import backdoor_from_spec
from triggerfish.data.conversation import Conversation, render
from triggerfish.data.records import Record
from triggerfish.pipeline.probes import answer_limit

SAID = "the lamp is in the garden and the cup is on the table in the kitchen"


def test_a_key_has_room_beside_answers_that_are_longer_in_letters_only(tiny_llama):
    """Random characters need many tokens: a limit by letters cut every key off."""
    backdoor = backdoor_from_spec(
        {
            "trigger": {"text": "mn qx", "placement": "suffix"},
            "behaviour": {"kind": "key", "length": 50, "seed": 1},
        }
    )
    records = [
        Record(conversation=Conversation.of("Where?", response=f"{SAID} {n}")) for n in range(40)
    ]
    key = backdoor.behaviour.text
    sizes = [
        len(render(Conversation.of("x", response=text), tiny_llama.tokenizer).response_ids)
        for text in (key, f"{SAID} 1")
    ]
    assert len(key) < len(SAID)
    assert sizes[0] > sizes[1] + 6
    assert sizes[0] <= answer_limit(backdoor, records, tiny_llama.tokenizer)
