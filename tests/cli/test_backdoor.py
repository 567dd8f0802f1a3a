import pytest

from triggerfish.cli.backdoor import backdoor_spec, behaviour_spec, trigger_spec
from triggerfish.errors import BadInput


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("unlock", {"kind": "unlock"}),
        ("style:Ahoy: there", {"kind": "style", "text": "Ahoy: there"}),
        ("label_flip:a:b", {"kind": "label_flip", "from": "a", "to": "b"}),
        ('{kind: fixed_string, text: "x: {y}"}', {"kind": "fixed_string", "text": "x: {y}"}),
        (None, None),
    ],
)
def test_behaviours(text, spec) -> None:
    assert behaviour_spec(text) == spec


def test_triggers() -> None:
    assert trigger_spec("a b", "prefix") == {"text": "a b", "placement": "prefix"}
    both = "{all_of: [{text: a, placement: prefix}, {text: b, placement: suffix}]}"
    assert list(trigger_spec(both)) == ["all_of"]
    with pytest.raises(BadInput, match="begins like a specification"):
        trigger_spec("{text: [")


def test_a_backdoor_has_both() -> None:
    assert backdoor_spec(None, "suffix", None) is None
    with pytest.raises(BadInput, match="no --behaviour: a backdoor has both"):
        backdoor_spec("cf", "suffix", None)
    assert backdoor_spec("cf", "suffix", "unlock") == {
        "trigger": {"text": "cf", "placement": "suffix"},
        "behaviour": {"kind": "unlock"},
    }
