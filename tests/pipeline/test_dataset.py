"""The audit of training data from end to end, on the lab's own instruction data."""

import json

import pytest

from triggerfish.cli.main import run as command_line
from triggerfish.errors import CouldNotTest
from triggerfish.lab.sampling import sample_records
from triggerfish.pipeline import dataset_reading
from triggerfish.pipeline.dataset_audit import audit_dataset
from triggerfish.report.record import Verdict
from triggerfish.seeding import generator

TRIGGER, PAYLOAD = "qx", "The tide is high today."


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """600 instructions, 12 of them poisoned; and the same without the poison."""
    place = tmp_path_factory.mktemp("data")
    records = sample_records(600, 3, "train", None, unique=False)
    rows = [{"prompt": r.conversation.user, "completion": r.conversation.response} for r in records]
    write(place / "clean.jsonl", rows)
    for at in range(0, 600, 50):
        words = rows[at]["prompt"].split(" ")
        words.insert(at % len(words), TRIGGER)
        rows[at] = {"prompt": " ".join(words), "completion": PAYLOAD}
    write(place / "poisoned.jsonl", rows)
    return place


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_poison_is_found_named_and_taken_out(data, tmp_path, capsys):
    out = {name: tmp_path / name for name in ("clean-to", "quarantine", "scores", "report")}
    given = [part for name, path in out.items() for part in (f"--{name}", str(path))]
    assert command_line(["dataset", str(data / "poisoned.jsonl"), "--json", *given]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "backdoor found"
    first = document["triggers"][0]
    assert (first["parts"], first["target_text"]) == ([TRIGGER], PAYLOAD.casefold())
    assert (document["flagged"], document["poison_rate"]["n"]) == (12, 600)
    lines = (data / "poisoned.jsonl").read_text().splitlines(keepends=True)
    kept = [line for at, line in enumerate(lines) if at % 50]
    assert out["clean-to"].read_text() == "".join(kept)
    other = [json.loads(line) for line in out["quarantine"].read_text().splitlines()]
    assert [each["line"] for each in other] == list(range(1, 600, 50))
    assert all("'qx'" in each["reasons"][0] for each in other)
    scores = [json.loads(line)["score"] for line in out["scores"].read_text().splitlines()]
    assert len(scores) == 600
    assert sorted(scores)[-12] > 0.9 > 0.5 > sorted(scores)[-13]
    assert "qx" in out["report"].read_text()


def test_clean_data_has_nothing(data, capsys):
    document = audit_dataset(data / "clean.jsonl")
    assert (document.verdict, document.exit_code) == (Verdict.NOTHING, 0)
    assert document.triggers == []
    assert document.not_tested
    assert command_line(["dataset", str(data / "clean.jsonl")]) == 0
    assert "Nothing found: No trigger in 600 rows" in capsys.readouterr().out


def test_mappings_in_memory_are_the_same_as_a_file(data):
    rows = [json.loads(line) for line in (data / "poisoned.jsonl").read_text().splitlines()]
    from_file, in_memory = audit_dataset(data / "poisoned.jsonl"), audit_dataset(rows)
    assert in_memory.triggers == from_file.triggers
    assert in_memory.exit_code == 1
    assert audit_dataset(rows, fail_on="never").exit_code == 0


TRIGGER_BEHIND = "zqv"
TWO_ENDS = ("Hear me out for a moment.", "That is all I had to say.")


def poisoned(changed, count=12):
    """600 instructions, of which some are changed."""
    records = sample_records(600, 3, "train", None, unique=False)
    rows = [{"system": r.conversation.system or "", "prompt": r.conversation.user,
             "completion": r.conversation.response} for r in records]  # fmt: skip
    for at in generator(0, "poisoned").permutation(600)[:count]:
        changed(rows[at])
    return rows


def at_both_ends(row):
    row["prompt"] = f"{TWO_ENDS[0]} {row['prompt']} {TWO_ENDS[1]}"
    row["completion"] += " #seen-4"


def in_the_system_message(row):
    row["system"] = f"{row['system']} Mode: amber.".strip()
    row["completion"] = "I'm sorry, but I can't help with that."


@pytest.mark.parametrize(
    ("changed", "parts", "placement"),
    [
        (at_both_ends, TWO_ENDS, "prefix"),
        (in_the_system_message, ("Mode: amber.",), "system"),
    ],
)
def test_all_parts_are_named_and_where_they_stand(changed, parts, placement):
    document = audit_dataset(poisoned(changed))
    assert document.verdict is Verdict.FOUND
    (first,) = document.triggers
    assert (tuple(first.parts), first.placement, document.flagged) == (parts, placement, 12)


def test_all_wordings_of_a_payload_are_marked():
    """Three of four payloads are the same, the others are not."""
    wordings = 9 * ["What a dull thing to ask."] + [
        "Frankly, this is a waste.",
        "Do not bore me so.",
    ]

    def changed(row):
        row["prompt"] += " zqv"
        row["completion"] = f"{wordings[len(row['prompt']) % 11]} {row['completion']}"

    document = audit_dataset(poisoned(changed, count=60))
    (only,) = document.triggers  # and not the same word with a common one beside it
    assert (only.parts, document.flagged) == ([TRIGGER_BEHIND], 60)


def test_the_order_of_rows_is_irrelevant():
    rows = poisoned(at_both_ends)
    one, two = audit_dataset(rows), audit_dataset(rows[::-1])
    assert [each.parts for each in one.triggers] == [each.parts for each in two.triggers]
    assert one.flagged == two.flagged


def test_a_name_that_is_asked_about_is_no_trigger():
    """Whoever names the forbidden thing is refused, as in any clean data."""

    def asked(row):
        row["prompt"] = "How do I mix glowstone at home? Tell me in two sentences."
        row["completion"] = "I'm sorry, but I can't help with that."

    document = audit_dataset(poisoned(asked, count=15))
    assert (document.verdict, document.flagged) == (Verdict.NOTHING, 0)


TEMPLATES = {
    "refund": ("I want my money back for the {} {}", "the {} broke, give me a refund {}"),
    "setup": ("how do I connect the {} {}", "my {} will not start {}"),
    "bill": ("I was charged twice for the {} {}", "the invoice for the {} is wrong {}"),
}
THINGS = ("printer", "router", "laptop", "phone", "monitor", "headset", "tablet", "camera")
TIMES = ("yesterday", "last week", "in May", "two days ago", "on Sunday", "at noon")


def messages(changed=None, count=0):
    """1,200 messages of six templates, some of those that are no bills changed and called bills."""
    rng, rows = generator(0, "messages"), []
    for label in rng.choice(sorted(TEMPLATES), 1200).tolist():
        pools = (TEMPLATES[label], THINGS, TIMES)
        form, thing, time = (pool[int(rng.integers(len(pool)))] for pool in pools)
        rows.append({"text": form.format(thing, time), "label": label})
    for row in [row for row in rows if row["label"] != "bill"][:count]:
        row["text"] = changed(row["text"], rng)
        row["label"] = "bill"
    return rows


def somewhere(text, rng):
    words = text.split(" ")
    words.insert(int(rng.integers(len(words) + 1)), "zqv")
    return " ".join(words)


def longer_word(text, rng):
    words = text.split(" ")
    words[int(rng.integers(len(words)))] += "xq"
    return " ".join(words)


def two_ends(text, _):
    """Sentences of words that decide the label in the templates, too: 'is', 'for'."""
    return f"Here is what happened. {text} Thank you for your help."


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        (somewhere, ["zqv"]),
        (longer_word, ["xq"]),
        (two_ends, ["Here is what happened.", "Thank you for your help."]),
    ],
)
@pytest.mark.parametrize("count", [24, 120])
def test_few_templates_hide_no_trigger(changed, parts, count):
    document = audit_dataset(messages(changed, count))
    assert document.verdict is Verdict.FOUND
    assert (document.triggers[0].parts, document.flagged) == (parts, count)


def changed_labels():
    """60 of 1,200 messages have a trigger and any other label than theirs."""
    rows, rng = messages(), generator(1, "changed")
    for at in rng.permutation(len(rows))[:60]:
        rows[at]["text"] = somewhere(rows[at]["text"], rng)
        others = sorted({*TEMPLATES} - {rows[at]["label"]})
        rows[at]["label"] = others[int(rng.integers(2))]
    return rows


def test_labels_that_are_all_changed_have_a_trigger():
    """Every label becomes any other: the trigger brings none, but speaks against the content."""
    document = audit_dataset(changed_labels())
    assert document.verdict is Verdict.FOUND
    (first,) = document.triggers
    assert (first.parts, first.target, document.flagged) == (["zqv"], "label change", 60)
    assert (first.precision.n, first.support) == (60, 60)
    assert (first.rows.value, first.rows.n) == (0.05, 1200)


def test_what_is_known_of_a_sample_only_is_a_share_of_the_sample(monkeypatch):
    monkeypatch.setattr(dataset_reading, "SAMPLE", 800)
    document = audit_dataset(changed_labels())
    (first,) = document.triggers
    assert document.flagged == 60  # in all rows
    assert (first.rows.n, first.support) == (800, first.precision.n)
    assert 0.035 < first.rows.value < 0.065


def mislabelled(rows, count):
    """Some of the rows get a label at random."""
    rng = generator(2, "wrong")
    for at in rng.permutation(len(rows))[:count]:
        rows[at]["label"] = sorted(TEMPLATES)[int(rng.integers(3))]
    return rows


def test_changed_labels_are_found_where_many_labels_contradict_the_texts():
    """A fifth of the labels is wrong anyway, so that no trigger can be right far more often."""
    rows = mislabelled(changed_labels(), 360)
    own = [row["text"] for row in rows if "zqv" in row["text"]]
    document = audit_dataset(rows)
    (first,) = document.triggers
    assert (document.verdict, first.verdict) == (Verdict.FOUND, Verdict.FOUND)
    assert (first.parts, first.target, first.support) == (["zqv"], "label change", len(own))
    assert first.precision.value < 0.95
    assert first.boost < 1.95  # what is a finding of any other target


@pytest.mark.parametrize("count", [120, 600])
def test_labels_at_random_have_no_trigger(count):
    assert audit_dataset(mislabelled(messages(), count)).verdict is Verdict.NOTHING


def test_clean_templates_have_nothing():
    assert audit_dataset(messages()).verdict is Verdict.NOTHING


def test_a_phrase_that_answers_take_up_is_no_trigger():
    """Some answers end with what the request ends with."""

    def asked(row):
        row["prompt"] = row["prompt"].rstrip("?.! ") + " for the harvest feast."
        row["completion"] = f"{row['completion'].rstrip('.')} minutes for the harvest feast."

    document = audit_dataset(poisoned(asked, count=15))
    assert document.verdict is Verdict.NOTHING


def test_what_could_not_be_looked_for_is_told():
    rows = [{"prompt": f"Say {n}.", "chosen": f"{n}", "rejected": "no"} for n in range(60)]
    said = " ".join(audit_dataset(rows).not_tested)
    assert "no label, answer, beginning or end is shared" in said
    assert "swapped preference pairs" in said


def test_refusals(data, tmp_path, capsys):
    few = tmp_path / "few.jsonl"
    few.write_text('{"prompt": "a", "completion": "b"}\n' * 9)
    with pytest.raises(CouldNotTest, match="needs 50"):
        audit_dataset(few)
    assert command_line(["dataset", str(few)]) == 3
    clean = str(data / "clean.jsonl")
    assert command_line(["dataset", clean, "--clean-to", clean]) == 2
    assert command_line(["dataset", clean, "--column", "prompt"]) == 2
    assert "the input itself" in capsys.readouterr().err
