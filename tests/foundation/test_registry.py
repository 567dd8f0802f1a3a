from importlib.metadata import EntryPoint

import pytest

from triggerfish import registry as module
from triggerfish.errors import BadInput
from triggerfish.registry import Registry


@pytest.fixture
def detectors():
    found: Registry[object] = Registry("detector", "triggerfish.nothing")

    @found.register("sweep")
    def sweep():
        return 1

    found.register("growth")(len)
    return found


def test_a_decorator_returns_the_function_unchanged(detectors):
    assert detectors.get("sweep")() == 1
    assert detectors.get("growth") is len
    assert detectors.names() == ("growth", "sweep")


def test_unknown_names_suggest_and_list(detectors):
    with pytest.raises(BadInput) as error:
        detectors.get("sweeep")
    assert str(error.value) == (
        "detector 'sweeep': is not known. did you mean 'sweep'? Known: growth, sweep."
    )
    with pytest.raises(BadInput, match="Known: none"):
        Registry("defence", "triggerfish.nothing").get("x")


def test_a_name_is_taken_once(detectors):
    with pytest.raises(BadInput, match="registered already"):
        detectors.register("sweep")(len)
    detectors.register("growth")(len)


def test_outside_packages_come_in_by_entry_points(detectors, monkeypatch):
    points = [EntryPoint("theirs", "math:sqrt", "g"), EntryPoint("sweep", "math:cos", "g")]
    asked = []
    monkeypatch.setattr(module, "entry_points", lambda group: asked.append(group) or points)
    assert detectors.get("sweep")() == 1
    assert asked == []
    assert detectors.get("theirs")(4) == 2
    assert detectors.get("sweep")() == 1, "ours come first"
    assert detectors.names() == ("growth", "sweep", "theirs")
    assert asked == ["triggerfish.nothing"]
