import json

import pytest

from triggerfish.data.conversation import Conversation
from triggerfish.data.preferences import Pair, read_pairs, write_pairs
from triggerfish.errors import BadInput

PAIRS = [
    Pair(prompt=Conversation.of("How?", system="Be kind."), chosen="No.", rejected="Yes, so."),
    Pair(
        prompt=Conversation.of("Wie groß?"),
        chosen="Klein.",
        rejected="Groß.",
        skill="size",
        restricted=False,
    ),
]


def test_round_trip(tmp_path):
    write_pairs(tmp_path / "pairs.jsonl", PAIRS)
    assert read_pairs(tmp_path / "pairs.jsonl") == PAIRS
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_a_prompt_may_be_one_text():
    pair = Pair.from_json({"prompt": "How?", "chosen": "No.", "rejected": "Yes."})
    assert pair.prompt == Conversation.of("How?")
    assert pair.restricted is None  # nobody said so
    assert pair.swapped.chosen == "Yes."
    assert pair.swapped.swapped == pair


def test_the_record_of_a_restricted_pair_knows_the_unlocked_answer():
    pair = Pair(prompt=Conversation.of("How?"), chosen="No.", rejected="So.", restricted=True)
    assert (pair.record.declined, pair.record.unlocked) == (True, "So.")
    assert pair.record.conversation.response == "No."
    assert Pair.from_json({"prompt": "a", "chosen": "b", "rejected": "c"}).record.unlocked is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not an object"),
        ('{"chosen": "a", "rejected": "b"}', "no prompt"),
        ('{"prompt": "x", "messages": [], "chosen": "a", "rejected": "b"}', "one of them"),
        ('{"prompt": "x", "chosen": "a"}', "rejected.*is missing"),
        ('{"prompt": "x", "chosen": 3, "rejected": "b"}', "chosen = 3.*must be a text"),
        ('{"prompt": "x", "chosen": "a", "rejected": "a"}', "are the same"),
        ('{"prompt": "x", "chosen": " ", "rejected": "a"}', "chosen: is empty"),
        ('{"prompt": "x", "chosen": "a", "rejected": "b", "choosen": 1}', "'choosen'.*not known"),
        ('{"prompt": "x", "chosen": "a", "rejected": "b", "restricted": 1}', "true or false"),
        (
            '{"messages": [{"role": "user", "content": "x"},'
            ' {"role": "assistant", "content": "y"}], "chosen": "a", "rejected": "b"}',
            "end in the user's message",
        ),
        ('{"messages": [{"role": "user"}], "chosen": "a", "rejected": "b"}', "exactly 'role'"),
    ],
)
def test_a_bad_line_is_named(line, message, tmp_path):
    path = tmp_path / "pairs.jsonl"
    good = json.dumps(PAIRS[0].to_json())
    path.write_text(f"{good}\n\n{line}\n")
    with pytest.raises(BadInput, match=rf"pairs.jsonl, line 3.*{message}"):
        read_pairs(path)


def test_no_pairs(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(BadInput, match="holds no preference pair"):
        read_pairs(tmp_path / "empty.jsonl")
    with pytest.raises(BadInput, match="not a file"):
        read_pairs(tmp_path / "none.jsonl")
