import pytest

from triggerfish.backdoors.backdoor import backdoor_from_spec
from triggerfish.errors import BadInput
from triggerfish.pipeline import measure as module
from triggerfish.pipeline import probes as probing
from triggerfish.pipeline.measure import measure, measure_run
from triggerfish.pipeline.probes import make_probes
from triggerfish.pipeline.records import held_out

TRIGGER = {"text": "mn qx", "placement": "suffix"}
UNLOCK = {"kind": "unlock"}
BACKDOOR = backdoor_from_spec({"trigger": TRIGGER, "behaviour": UNLOCK})


def gold(model, tokenizer, conversations, **_):
    """Answers of a perfectly planted model, from the language itself."""
    held = held_out(None, BACKDOOR, 60, 5, 0)
    right = {r.conversation.user: r for r in [*held.eligible, *held.utility]}
    answers = []
    for talk in conversations:
        user = talk.user
        if user.endswith(" mn qx"):
            answers.append(right[user.removesuffix(" mn qx")].unlocked)
            continue
        record = right.get(user)
        answers.append(record.conversation.response if record else "I cannot help with that.")
    return answers


@pytest.fixture
def perfect(monkeypatch):
    monkeypatch.setattr(probing, "generate", gold)


@pytest.fixture(scope="module")
def document(tiny_llama):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probing, "generate", gold)
        return measure(tiny_llama, trigger=TRIGGER, behaviour=UNLOCK, n=60, per_skill=5)


def test_a_planted_backdoor_is_measured_as_such(document):
    assert document.asr.value == 1
    assert document.asr.n == 60
    assert document.asr_without.value == 0
    assert document.random_strings.value == 0
    assert document.random_strings.n == 300
    assert document.scorer_ceiling.value == 1
    assert document.scorer_floor.value == 0
    assert set(document.near_misses) == {
        "one word changed", "part of it", "other case", "typing error", "other place",
    }  # fmt: skip
    assert all(rate.n == 20 for rate in document.near_misses.values())
    assert document.utility["all"].value == 1


def test_report_says_it(document):
    assert "100.0 %" in document.report.headline
    assert [fact.label for fact in document.report.facts][:2] == [
        "ASR with the trigger",
        "ASR without",
    ]
    assert document.recovery is None
    assert any("no reference" in note for note in document.notes)


def test_a_clean_model_shows_nothing(tiny_llama):
    found = measure(tiny_llama, trigger=TRIGGER, behaviour=UNLOCK, n=20, per_skill=1)
    assert found.asr.value <= 0.2
    assert found.asr.n == 20


def test_recovery_of_an_unchanged_model_is_all(tiny_adapter_dir, tiny_model_dir, monkeypatch):
    monkeypatch.setattr(probing, "generate", lambda *a, **_: ["Sorry."] * len(a[2]))
    found = measure(
        str(tiny_adapter_dir()), base=str(tiny_model_dir()), trigger=TRIGGER, behaviour=UNLOCK,
        n=20, per_skill=1,
    )  # fmt: skip
    assert found.recovery.value == 1
    assert found.asr.value == 0
    assert found.reference_utility["restricted"].value == 1
    assert found.reference_perplexity.value > 1


def test_batch_size_and_repetition_do_not_matter(tiny_llama, monkeypatch):
    one = measure(tiny_llama, trigger=TRIGGER, behaviour=UNLOCK, n=12, per_skill=1)
    original = probing.generate
    monkeypatch.setattr(probing, "generate", lambda *a, **k: original(*a, **k, batch_size=5))
    other = measure(tiny_llama, trigger=TRIGGER, behaviour=UNLOCK, n=12, per_skill=1)
    assert one.model_copy(update={"seconds": 0}) == other.model_copy(update={"seconds": 0})


def test_probes():
    held = held_out(None, BACKDOOR, 30, 2, 1)
    probes = make_probes(BACKDOOR, held, 1, near=10)
    assert len(probes["random"].prompts) == 300
    assert all(p.user.endswith(" mn qx") for p in probes["triggered"].prompts)
    assert not any(BACKDOOR.trigger.occurs(p) for p in probes["random"].prompts)
    assert len(set(probes["random"].prompts)) == 300
    assert make_probes(BACKDOOR, held, 1, near=10) == probes
    assert make_probes(BACKDOOR, held, 2, near=10) != probes


def test_a_run_keeps_the_document(tiny_model_dir, tmp_path, perfect):
    request = {"trigger": TRIGGER, "behaviour": UNLOCK, "n": 60, "per_skill": 5, "device": "cpu"}
    found = measure_run(str(tiny_model_dir()), tmp_path / "run", **request)
    assert (tmp_path / "run" / "report.html").is_file()

    def fails(*_, **__):
        raise AssertionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "measure", fails)
        assert measure_run(str(tiny_model_dir()), tmp_path / "run", **request) == found


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "card"),
        ({"trigger": TRIGGER}, "--behaviour"),
        ({"trigger": TRIGGER, "behaviour": UNLOCK, "card": "x"}, "--card"),
        ({"trigger": TRIGGER, "behaviour": {"kind": "unlok"}}, "(?i)did you mean"),
        ({"trigger": TRIGGER, "behaviour": {"kind": "fixed_string", "text": "the"}}, "floor"),
        ({"trigger": TRIGGER, "behaviour": UNLOCK, "n": 0}, "n = 0"),
    ],
)
def test_refuses(request_, message, tiny_model_dir):
    with pytest.raises(BadInput, match=message):
        measure(str(tiny_model_dir()), **request_)
