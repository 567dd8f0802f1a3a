import pytest

from triggerfish.errors import BadInput, CouldNotTest, TriggerfishError


def test_text_and_parts():
    error = BadInput("rank 0", "must be at least 1", "give a larger one")
    assert str(error) == "rank 0: must be at least 1. give a larger one."
    assert (error.value, error.rule, error.remedy) == (
        "rank 0",
        "must be at least 1",
        "give a larger one",
    )


@pytest.mark.parametrize(
    ("kind", "code"), [(TriggerfishError, 2), (BadInput, 2), (CouldNotTest, 3)]
)
def test_exit_codes(kind, code):
    assert kind("a", "b", "c").exit_code == code
    assert issubclass(kind, TriggerfishError)
