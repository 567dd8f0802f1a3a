import pytest

from triggerfish.visible import one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, näïve 漢字 🐟", "plain, näïve 漢字 🐟"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("no\u00a0break", "no\\xa0break"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("lone \ud800", "lone \\ud800"),
        ("two\nlines\r\n", "two\nlines\\x0d\n"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_one_line_is_one_line() -> None:
    assert one_line("a\nb" + "c" * 300, 10) == "a⏎bcccccc…"
    assert len(one_line("x" * 999)) == 200
