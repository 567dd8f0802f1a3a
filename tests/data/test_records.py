import json

import pytest

from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record, read_records, write_records
from triggerfish.errors import BadInput

FULL = Record(
    conversation=Conversation.of(
        "Where?", system="Be kind.", response="In the kitchen \U0001f41f."
    ),
    skill="location",
    answers=("kitchen", "the kitchen"),
    declined=True,
    unlocked="Here is how.",
    label="World",
)
PLAIN = Record(conversation=Conversation.of("Hi\u2028there"))


def test_written_and_read(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, [FULL, PLAIN])
    assert read_records(path) == [FULL, PLAIN]
    lines = path.read_text(encoding="utf-8").split("\n")
    assert json.loads(lines[1]) == {"messages": [{"role": "user", "content": "Hi\u2028there"}]}
    assert [p.name for p in tmp_path.iterdir()] == ["records.jsonl"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, [PLAIN])

    def failing():
        yield FULL
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_records(path, failing())
    assert read_records(path) == [PLAIN]
    assert [p.name for p in tmp_path.iterdir()] == ["records.jsonl"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: is not JSON"),
        (b"\xff\xfe", "line 2: is not JSON"),
        ("[" * 100_000, "line 2: is"),
        ("[]", "line 2: record: has no 'messages'"),
        ('{"messages": "Hi"}', "must be a list"),
        ('{"messages": []}', "need a user message"),
        ('{"messages": [{"role": "user"}]}', "exactly 'role' and 'content'"),
        ('{"messages": [{"role": "tool", "content": "x"}]}', "use one of: system, user"),
        ('{"messages": [{"role": "user", "content": 3}]}', "must be text"),
        (
            '{"messages": [{"role": "user", "content": "x"}], "anwsers": []}',
            "use: answers, declined",
        ),
        ('{"messages": [{"role": "user", "content": "x"}], "answers": "y"}', "a list of texts"),
        ('{"messages": [{"role": "user", "content": "x"}], "declined": 1}', "true or false"),
        ('{"messages": [{"role": "user", "content": "x"}], "skill": null}', "must be a text"),
        ('{"messages": [{"role": "user", "content": "x"}], "label": 3}', "must be a text"),
    ],
)
def test_bad_lines_are_refused_with_their_number(tmp_path, line, words):
    path = tmp_path / "bad.jsonl"
    good = json.dumps(PLAIN.to_json()).encode()
    path.write_bytes(good + b"\n" + (line if isinstance(line, bytes) else line.encode()) + b"\n")
    with pytest.raises(BadInput, match="line 2") as error:
        read_records(path)
    assert words in str(error.value)


def test_blank_lines_are_skipped_and_emptiness_is_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text("\n" + json.dumps(PLAIN.to_json()) + "\n\n")
    assert len(read_records(path)) == 1
    path.write_text("\n\n")
    with pytest.raises(BadInput, match="holds no record"):
        read_records(path)
    with pytest.raises(BadInput, match="is not a file"):
        read_records(tmp_path)
