import gzip
import json

import pytest

from triggerfish.data.copying import Copier
from triggerfish.data.raw import element
from triggerfish.data.rows import Row, read_rows, row_of
from triggerfish.errors import BadInput
from triggerfish.seeding import generator

FORMS = {
    "alpaca": {"instruction": "Add", "input": "2 3", "output": "5"},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "Add\n2 3"}, {"from": "gpt", "value": "5"}]
    },
    "messages": {
        "messages": [{"role": "user", "content": "Add\n2 3"}, {"role": "assistant", "content": "5"}]
    },
    "completion": {"prompt": "Add\n2 3", "completion": "5"},
}


def texts(path, **options):
    return [
        (r.row.prompt, r.row.response, r.row.label) for r in read_rows(path, **options) if r.row
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", ["array", "lines", "packed"])
def test_every_form_gives_the_same_row(form, way, tmp_path):
    path = tmp_path / "data.any"  # the name says nothing
    rows = [FORMS[form]] * 3
    lines = "\n".join(map(json.dumps, rows)) + "\n"
    if way == "array":
        path.write_text(json.dumps(rows, indent=1))
    elif way == "lines":
        path.write_text(lines)
    else:
        path.write_bytes(gzip.compress(lines.encode()))
    assert texts(path) == [("Add\n2 3", "5", None)] * 3


def test_preference_pairs():
    wanted = Row("Hello?", "Yes.", "", "No.")
    assert row_of({"prompt": "Hello?", "chosen": "Yes.", "rejected": "No."})[0] == wanted
    sides = {
        key: [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": text}]
        for key, text in (("chosen", "Yes."), ("rejected", "No."))
    }
    assert row_of(sides)[0] == wanted
    assert row_of({"prompt": "Hello?", "chosen": 3, "rejected": "No."})[1] == "chosen is no text"


def test_tables_with_and_without_a_header(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text('text,label\n"two\nlines, one cell",0\nplain,1\n')
    assert texts(path) == [("two\nlines, one cell", "", "0"), ("plain", "", "1")]
    assert [r.raw.line for r in read_rows(path)] == [1, 2, 4]
    path.write_text("a film to see\t1\nnot so good at all\t0\n")
    assert texts(path) == [("a film to see", "", "1"), ("not so good at all", "", "0")]
    path.write_text("prompt;label\na film, to see;1\nnot, so; good\n")
    assert texts(path) == [("a film, to see", "", "1"), ("not, so", "", " good")]
    path.write_text('3,"Title","Text of it"\n')
    assert texts(path) == [("Title Text of it", "", "3")]
    assert texts(path, columns={"label": "1", "prompt": "3,2"}) == [("Text of it Title", "", "3")]


def test_parquet(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "data.parquet"
    parquet.write_table(arrow.Table.from_pylist([FORMS["alpaca"]] * 3), path)
    assert texts(path) == [("Add\n2 3", "5", None)] * 3


def test_a_directory_is_its_files_in_order(tmp_path):
    for name, label in (("b.tsv", "1"), ("a.tsv", "0")):
        (tmp_path / name).write_text(f"some words here\t{label}\n")
    assert [label for *_, label in texts(tmp_path)] == ["0", "1"]


def test_every_fault_is_told_with_its_line_and_no_row_is_lost(tmp_path):
    path = tmp_path / "data.jsonl"
    good = b'{"prompt": "a", "completion": "b"}'
    lines = [
        good,
        b'{"prompt": "a", "completion": ',
        b'{"prompt": "a"}',
        b'{"prompt": "a", "completion": ""}',
        b'{"prompt": "a", "prompt": "c", "completion": "b"}',
        b'{"prompt": "a\x00", "completion": "b"}',
        b'{"prompt": "caf\xe9", "completion": "b"}',
        b'{"prompt": "' + b"x" * 1_000_001 + b'", "completion": "b"}',
        b"[" * 100_000,
        good,
    ]
    path.write_bytes(b"\n".join(lines))
    read = list(read_rows(path))
    assert [r.raw.line for r in read] == list(range(1, 11))
    assert [r.row is not None for r in read] == [1, 0, 0, 1, 1, 1, 1, 1, 0, 1]
    said = ["", "no JSON", "no answer", "empty answer", "'prompt' twice", "NUL", "Windows-1252",
            "bytes long", "no JSON", ""]  # fmt: skip
    for each, what in zip(read, said, strict=True):
        assert what in "; ".join(each.faults)
        assert bool(each.faults) == bool(what)
    with pytest.raises(BadInput, match="line 2"):
        list(read_rows(path, strict=True))


def test_shards_below_a_directory_are_read_in_order_and_hidden_ones_left_out(tmp_path):
    for place in ("b/two.jsonl", "a/one.jsonl", ".cache/three.jsonl", "b/.four.jsonl"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(json.dumps({"prompt": place, "completion": "5"}) + "\n")
    assert [prompt for prompt, _, _ in texts(tmp_path)] == ["a/one.jsonl", "b/two.jsonl"]


def test_an_array_that_ends_within_a_row_is_told(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps([FORMS["alpaca"]] * 3)[:-20])
    *whole, last = read_rows(path)
    assert [r.row is not None for r in whole] == [True, True]
    assert last.row is None
    assert "ends within a row" in last.faults[0]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"  \n", id="blanks"),
        # Compressed data holds the second it was made in: as a name it would differ by worker.
        pytest.param(gzip.compress(b"abc" * 999)[:40], id="truncated gzip"),
    ],
)
def test_files_that_are_refused(content, tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadInput):
        list(read_rows(path))


def test_refusals(tmp_path):
    with pytest.raises(BadInput, match="no data file"):
        list(read_rows(tmp_path))
    with pytest.raises(BadInput, match="role 'colour'"):
        list(read_rows(tmp_path, {"colour": "red"}))


@pytest.mark.parametrize(
    ("name", "content", "kept"),
    [
        ("a.jsonl", b'{"prompt":"a",  "completion":"b"}\n{"prompt":"c","completion":"d"}\n',
         b'{"prompt":"a",  "completion":"b"}\n'),
        ("a.csv", b'text,label\n"a, b",1\nc,0\n', b'text,label\n"a, b",1\n'),
        ("a.json", b'[{"prompt": "a",  "completion": "b"},\n {"prompt": "c", "completion": "d"}]',
         b'[\n{"prompt": "a",  "completion": "b"}\n]\n'),
    ],
)  # fmt: skip
def test_kept_rows_are_copied_byte_for_byte(name, content, kept, tmp_path):
    path, clean, other = tmp_path / name, tmp_path / "clean", tmp_path / "other"
    path.write_bytes(content)
    with Copier(path, clean, other, None) as out:
        place = 0
        for read in read_rows(path):
            place += read.row is not None
            out.write(read, 0.9 if place == 2 else 0.1, ["why"] if place == 2 else [])
    assert clean.read_bytes() == kept
    line = json.loads(other.read_text())
    assert line["reasons"] == ["why"]
    assert line["row"].encode() in content
    assert path.read_bytes() == content


def test_nothing_is_written_in_place_or_half(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt":"a","completion":"b"}\n')
    with pytest.raises(BadInput, match="the input itself"):
        Copier(path, path, None, None)
    with pytest.raises(BadInput, match="two outputs"):
        Copier(path, tmp_path / "x", tmp_path / "x", None)

    def broken():
        with Copier(path, tmp_path / "clean", None, None):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert [each.name for each in tmp_path.iterdir()] == ["a.jsonl"]


def test_fields_of_any_name_are_fields(tmp_path):
    """Numbers as names are the columns of a table without a header; a question mark is a name."""
    rows = [{"?": "why", "prompt": "a", "response": "b"}, {"1": 5, "2": "a longer text"}]
    first, second = (read.row for read in read_rows(rows))
    assert (first.prompt, first.response) == ("a", "b")
    assert (second.prompt, second.label) == ("a longer text", "5")


def test_rows_of_an_array_are_found_whatever_their_texts_hold():
    """As json's own decoder finds them; of an array that is cut off, the whole ones."""
    rng = generator(0, "arrays")

    def text():
        return "".join(rng.choice(list('a"{}\\\n[],:\u00e9'), rng.integers(8)))

    for _ in range(300):
        rows = [{"a": text(), text(): [{"b": text()}, text()]} for _ in range(3)]
        written = json.dumps(rows, indent=[None, 1][rng.integers(2)], ensure_ascii=False).encode()
        assert [json.loads(part) for part in elements(written)] == rows
        cut = elements(written[: int(rng.integers(len(written)))])
        assert [json.loads(part) for part in cut] == rows[: len(cut)]


def elements(written):
    found, at = [], 0
    while (span := element(written, at)) is not None:
        found.append(written[slice(*span)])
        at = span[1]
    return found
