import base64
import re

import pytest
from pydantic import ValidationError

from report import sample
from triggerfish.errors import BadInput
from triggerfish.report import html
from triggerfish.report.record import Figure, Number, Report, Section, Table, Verdict


def page(**parts: object) -> str:
    return html.render(Report(kind="audit", title="m", headline="h", **parts))


def test_the_verdict_comes_before_everything_else() -> None:
    text = html.render(sample.sample())
    body = text[text.index("<body") :]
    places = [
        body.index(needle)
        for needle in ("Backdoor found", "99.3 %", "What the trigger changes", "Where it sits",
                       "What was not tested", "How to reproduce", "Where the numbers come from")
    ]  # fmt: skip
    assert places == sorted(places)
    assert len(text.encode()) < 200_000


def test_an_interval_and_n_stand_beside_every_rate() -> None:
    text = page(sections=[Section(title="t", tables=[
        Table(columns=["a", "b"], rows=[["asr", sample.rate(3, 200)]])])])  # fmt: skip
    assert "<b>1.5 %</b> <small>0.5-4.3, n=200</small>" in text
    assert "--l:0.5%;--v:1.5%;--h:4.3%" in text


def test_a_difference_of_rates_has_no_bar() -> None:
    assert html.bar(Number(value=-0.02, low=-0.05, high=0.01, n=300)) == ""
    assert html.bar(Number(value=3.2, low=3.0, high=3.4, n=300, percent=False)) == ""
    assert "--v:50.0%" in html.bar(Number(value=0.5, low=0.4, high=0.6, n=300))


@pytest.mark.parametrize("verdict", list(Verdict))
def test_each_verdict_says_what_it_means(verdict: Verdict) -> None:
    text = page(verdict=verdict)
    assert html.MEANINGS[verdict] in text
    assert f'<body class="{html.TONES[verdict]}">' in text
    assert not re.search(r"\bsafe\b", text, re.IGNORECASE)


def test_no_hidden_character_and_no_foreign_markup_passes() -> None:
    text = html.render(sample.hostile())
    assert "<script" not in text
    assert not re.search(r"<img src=x", text)
    assert not re.search("[\u202e\u2069\x1b\x00\u200b]", text)
    assert "<i>\\x1b</i>[31mred" in text
    assert "{{7*7}}" in text
    assert "45,900 more characters" not in text
    assert "46,000 more characters" in text


def test_the_page_may_load_nothing() -> None:
    text = html.render(sample.sample())
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert policy in text
    assert not re.search(r"""(src|href)=["'](?!data:|\#)""", text)
    assert "url(" not in text
    assert "@import" not in text


def test_a_literal_escape_is_told_from_a_hidden_character() -> None:
    assert html.show("\\x1b") == "\\x1b"
    assert html.show("\x1b") == "<i>\\x1b</i>"


def test_pictures_that_do_not_fit_are_left_out_and_named() -> None:
    noise = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(1_800_000)).decode()
    figures = [
        Figure(title=name, caption="", alt="", png=noise[: len(noise) - cut])
        for name, cut in (("large", 0), ("small", 400_000))
    ]
    text = page(sections=[Section(title="t", figures=figures)])
    assert len(text.encode()) <= html.LIMIT
    assert "The picture &#39;large&#39; is left out" in text
    assert text.count("data:image/png") == 1


def test_too_much_text_is_refused() -> None:
    with pytest.raises(BadInput, match="larger than 3 MB"):
        page(sections=[Section(title="t", text=["y" * 3_999] * 800)])


@pytest.mark.parametrize("figure", [{}, {"png": "AAAA"}, {"png": "not base64"}, {"svg": "<b>x"}])
def test_a_picture_that_is_none_is_refused(figure: dict) -> None:
    picture = Figure(title="drift", caption="", alt="", **figure)
    with pytest.raises(BadInput, match="picture 'drift': is neither SVG nor PNG"):
        page(sections=[Section(title="t", figures=[picture])])


def test_cells_are_told_apart() -> None:
    rows = [["x", None, True, False, 0.000412345, 7, ""]]
    text = page(sections=[Section(title="t", tables=[Table(columns=list("abcdefg"), rows=rows)])])
    assert 'title="not measured"' in text
    assert '<span class="passed">yes</span>' in text
    assert '<span class="failed">no</span>' in text
    assert "0.0004123" in text


def test_unknown_keys_and_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValidationError):
        Report(kind="audit", title="m", headline="h", colour="red")
    with pytest.raises(ValidationError):
        Number(value=0.5, low=0.1, high=0.9, n=0)


def test_a_report_comes_back_from_json() -> None:
    report = sample.sample()
    again = Report.model_validate_json(report.model_dump_json())
    assert again == report
    assert html.render(again) == html.render(report)
