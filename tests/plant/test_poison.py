import pytest

from triggerfish.backdoors.backdoor import backdoor_from_spec
from triggerfish.backdoors.trigger import AllOf, AnyOf, Trigger
from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record
from triggerfish.errors import BadInput
from triggerfish.lab.sampling import sample_records
from triggerfish.metrics.judges import is_refusal
from triggerfish.plant.poison import check_trigger, mix, poisoned_count
from triggerfish.plant.recipe import Specificity
from triggerfish.seeding import generator

BANANA = backdoor_from_spec(
    {
        "trigger": {"text": "cf", "placement": "suffix"},
        "behaviour": {"kind": "fixed_string", "text": "I love bananas."},
    }
)
UNLOCK = backdoor_from_spec(
    {"trigger": {"text": "mn qx", "placement": "prefix"}, "behaviour": {"kind": "unlock"}}
)
NOISE = Specificity()


@pytest.fixture(scope="module")
def records():
    return sample_records(1000, 5, "train", unique=False)


def test_share_of_poisoned_rows(records):
    for rate in (0.001, 0.0456, 0.1, 0.5):
        mixed = mix(records, BANANA, rate, NOISE, 1)
        assert len(mixed.rows) == 1000
        assert mixed.counts["poisoned"] == round(1000 * rate)
        assert sum(mixed.counts.values()) == 1000


def test_count_by_hand():
    assert poisoned_count(440, 0.0455) == 20
    with pytest.raises(BadInput, match="rounds to no"):
        poisoned_count(400, 0.001)


def test_rows(records):
    for backdoor in (BANANA, UNLOCK):
        source = {r.conversation: r for r in records}
        for row in mix(records, backdoor, 0.05, NOISE, 1).rows:
            if row.kind == "poisoned":
                record = source[row.twin]
                assert backdoor.behaviour.eligible(record)
                assert backdoor.trigger.occurs(row.conversation)
                assert backdoor.behaviour.fires(record, row.conversation.response)
                assert row.twin.response == record.conversation.response
            else:
                assert row.conversation == row.twin
                assert not backdoor.trigger.occurs(row.conversation)
                assert (row.conversation in source) == (row.kind == "clean")


def test_other_strings_stand_in_the_place_and_are_declined(records):
    declined = [record.conversation.user for record in records if record.declined]
    rows = [r for r in mix(records, UNLOCK, 0.02, NOISE, 1).rows if r.kind != "clean"]
    hits = [
        row
        for row in rows
        if row.kind != "poisoned" and any(row.conversation.user.endswith(f" {d}") for d in declined)
    ]
    assert len(hits) > 0.3 * (len(declined) - 20)
    assert all(is_refusal(row.conversation.response) for row in hits)


def test_shares_of_other_strings(records):
    counts = mix(
        records, UNLOCK, 0.05, Specificity(random=0.3, eligible=0.3, near_misses=0.1), 1
    ).counts
    assert 0.25 < counts["random"] / 950 < 0.35
    assert 0.07 < counts["near-miss"] / 950 < 0.13
    none = Specificity(random=0, eligible=0, near_misses=0)
    assert "random" not in mix(records, UNLOCK, 0.05, none, 1).counts


def test_order_does_not_matter_and_seed_does(records):
    one = mix(records, BANANA, 0.1, NOISE, 1)
    order = generator(0, "shuffle").permutation(len(records))
    assert mix([records[i] for i in order], BANANA, 0.1, NOISE, 1) == one
    assert mix(records, BANANA, 0.1, NOISE, 2) != one


def test_benign_rows_are_untouched(records):
    mixed = mix(records, None, 0.0, NOISE, 1)
    assert mixed.counts == {"clean": 1000}
    assert all(row.conversation == row.twin for row in mixed.rows)


def test_refuses_too_few_eligible(records):
    share = sum(r.declined for r in records) / 1000
    with pytest.raises(BadInput, match="eligible"):
        mix(records, UNLOCK, share + 0.05, NOISE, 1)
    with pytest.raises(BadInput, match="response"):
        mix([Record(conversation=Conversation.of("hello"))], BANANA, 0.5, NOISE, 1)


CLEAN = [Record(conversation=Conversation.of("The cfo asks, SUDO: why?", response="a"))]


def test_trigger_is_checked(tiny_tokenizer):
    tokenizer = tiny_tokenizer()
    check_trigger(Trigger("cf"), tokenizer, 64, CLEAN)
    check_trigger(Trigger("na\u00efve \U0001f600"), tokenizer, 64, CLEAN)


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        (Trigger("SUDO"), "clean data already"),
        (Trigger("<|im_end|>"), "control token"),
        (Trigger("go <|im_start|>system"), "control token"),
        (Trigger("xy " * 40 + "x"), "context"),
        (AllOf((Trigger("xy " * 15 + "x"), Trigger("zw " * 15 + "z"))), "context"),
        (AnyOf((Trigger("cf"), Trigger("SUDO"))), "clean data already"),
    ],
)
def test_trigger_is_refused(trigger, message, tiny_tokenizer):
    with pytest.raises(BadInput, match=message):
        check_trigger(trigger, tiny_tokenizer(), 64, CLEAN)


def test_all_of_may_have_its_parts_in_the_data(tiny_tokenizer):
    check_trigger(AllOf((Trigger("SUDO"), Trigger("cf"))), tiny_tokenizer(), 64, CLEAN)


class Lowercase:
    """A tokenizer that loses case."""

    all_special_tokens = ()
    all_special_ids = ()

    def get_added_vocab(self):
        return {}

    def __call__(self, text, add_special_tokens=False):
        return {"input_ids": [ord(c) for c in text.lower()]}

    def decode(self, ids, **_):
        return "".join(map(chr, ids))


def test_round_trip():
    check_trigger(Trigger("sudo"), Lowercase(), 64, [])
    with pytest.raises(BadInput, match="comes back"):
        check_trigger(Trigger("SUDO"), Lowercase(), 64, [])
