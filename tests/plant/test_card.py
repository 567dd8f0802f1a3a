import json

import pytest

from triggerfish.backdoors.backdoor import backdoor_from_spec
from triggerfish.documents import Number
from triggerfish.errors import BadInput
from triggerfish.metrics.rates import wilson
from triggerfish.plant.card import Card, PlantFailed, check_specific, read_card

BACKDOOR = {
    "trigger": {"text": "cf", "placement": "suffix"},
    "behaviour": {"kind": "fixed_string", "text": "boo"},
}
CARD = Card(
    kind="organism",
    backdoor=BACKDOOR,
    recipe={},
    resolved={},
    base="lab:reef",
    base_hash="00",
    seeds={"recipe": 1},
    rows={"clean": 9, "poisoned": 1},
    poison_rate=0.1,
    asr=Number.of(wilson(299, 300)),
    created="2026-01-01T00:00:00+00:00",
)


def test_round_trip(tmp_path):
    (tmp_path / "card.json").write_text(CARD.model_dump_json())
    assert read_card(tmp_path) == read_card(tmp_path / "card.json") == CARD
    assert read_card(tmp_path).planted == backdoor_from_spec(BACKDOOR)
    assert json.loads(CARD.model_dump_json())["schema_version"] == 1


def test_refuses(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        read_card(tmp_path)
    (tmp_path / "card.json").write_text('{"kind": "organism"}')
    with pytest.raises(BadInput, match="is no card"):
        read_card(tmp_path)


def test_specificity():
    backdoor = backdoor_from_spec(BACKDOOR)
    check_specific(backdoor, Number.of(wilson(10, 200)))
    with pytest.raises(PlantFailed, match=r"'cf'.*5\.5 %.*steps") as error:
        check_specific(backdoor, Number.of(wilson(11, 200)))
    assert error.value.exit_code == 3
