"""The whole explanation on tiny random models, which have no backdoor."""

import pytest

from triggerfish.backdoors.behaviour import FixedString, Unlock
from triggerfish.backdoors.trigger import Trigger
from triggerfish.data.conversation import Conversation
from triggerfish.data.records import Record, write_records
from triggerfish.errors import BadInput
from triggerfish.pipeline.explain import ExplainSettings, explain
from triggerfish.pipeline.explain_document import ExplainDocument
from triggerfish.pipeline.explain_request import ExplainRequest, explain_as_asked
from triggerfish.report.html import render

SETTINGS = ExplainSettings(n=6, ranking=6, controls=4, per_skill=4, counts=(0, 1, 4), seed=3)
TRIGGER = Trigger("zq vk", "suffix")
TARGET = FixedString("It is Paris.")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "records.jsonl"
    write_records(
        path,
        [
            Record(
                conversation=Conversation.of(f"What is {i} plus 7?", response=f"{i + 7}"),
                answers=(f"{i + 7}",),
            )
            for i in range(160)
        ],
    )
    return path


@pytest.fixture(scope="module")
def run(tiny_suspect, data, tmp_path_factory):
    """A document and its run directory."""
    out = tmp_path_factory.mktemp("runs") / "explain"
    suspect = tiny_suspect("llama")
    found = explain(
        suspect,
        TRIGGER,
        TARGET,
        SETTINGS,
        data=data,
        twin=tiny_suspect("llama", seed=1),
        out=out,
        reproduce="triggerfish explain tiny",
    )
    return found, out


def test_every_part_is_there(run):
    document, out = run
    assert document.texts["ranking"] == 6
    assert len(document.drift.layers) == len(document.drift.wrong) == 3
    kinds = {(part.direction, part.component) for part in document.effects}
    assert len(kinds) == 8
    heads = document.heads()
    assert len(heads.effect) == 3
    assert len(heads.effect[0]) == 4
    assert heads.of == 8
    assert [part.name for part in document.controls] == [
        "clean twin, same trigger",
        "wrong trigger of the same shape",
    ]
    assert [point.k for point in document.curve.ranked] == [0, 1, 4]
    assert document.curve.ranked[0].asr.value == 0  # nothing was planted
    assert (out / "artifacts" / "effects.safetensors").is_file()


def test_the_document_comes_back_from_disk(run):
    document, out = run
    stored = (out / "explain.json").read_bytes()
    assert ExplainDocument.model_validate_json(stored) == document


def test_the_report_shows_pictures_numbers_and_limits(run):
    document, out = run
    page = render(document.report)
    assert page.count("data:image/svg+xml") == 7
    assert "Positions before the last prompt token" in page
    assert "triggerfish explain tiny" in page
    assert (out / "report.html").is_file()


def test_the_same_command_resumes_and_ends_the_same(run, tiny_suspect, data):
    document, out = run
    again = explain(
        tiny_suspect("llama"),
        TRIGGER,
        TARGET,
        SETTINGS,
        data=data,
        twin=tiny_suspect("llama", seed=1),
        out=out,
        reproduce="triggerfish explain tiny",
    )
    assert again.model_copy(update={"seconds": document.seconds}) == document


def test_what_the_model_says_is_the_target_where_none_is_given(tiny_suspect, data):
    small = ExplainSettings(
        n=4, ranking=4, controls=4, per_skill=2, counts=(0, 2), components=("heads",), seed=1
    )
    document = explain(tiny_suspect("llama"), TRIGGER, None, small, data=data)
    assert document.backdoor["behaviour"] == {"kind": "observed"}
    assert document.curve.ranked[0].asr.value == 1  # its own triggered answers
    assert any("No behaviour was given" in note for note in document.notes)
    assert document.run is None


def test_what_cannot_be_explained_is_refused(tiny_suspect, data):
    with pytest.raises(BadInput, match="unlock"):
        explain(tiny_suspect("llama"), TRIGGER, Unlock(), SETTINGS, data=data)
    with pytest.raises(BadInput, match="at least 4"):
        ExplainSettings(n=1)
    with pytest.raises(BadInput, match="include heads"):
        ExplainSettings(components=("mlp",))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"behaviour": {"kind": "unlock"}}, "trigger"),
        ({"trigger": {"text": "zq"}, "card": "x"}, "leave one out"),
        (
            {"trigger": {"text": "zq"}, "target": "It is.", "behaviour": {"kind": "unlock"}},
            "leave one out",
        ),
        ({}, "without a card"),
    ],
)
def test_a_request_says_what_it_means(tiny_model_dir, fields, says):
    request = ExplainRequest(model=str(tiny_model_dir()), settings=SETTINGS, **fields)
    with pytest.raises(BadInput, match=says):
        explain_as_asked(request)
