import json

from report.sample import rate
from triggerfish.report.record import Finding, Findings, Verdict
from triggerfish.report.sarif import to_sarif


def test_a_finding_is_an_error_with_its_numbers() -> None:
    finding = Finding(
        id="f1",
        detector="sweep",
        claim="a suffix\x1b[2K unlocks",
        verdict=Verdict.FOUND,
        trigger={"text": "cf", "placement": "suffix"},
        p_value=0.001,
        numbers={"asr": rate(298, 300)},
    )
    findings = Findings(verdict=Verdict.FOUND, findings=[finding], not_tested=["long triggers"])
    run = json.loads(to_sarif(findings, model="lab:sudo", version="1"))["runs"][0]
    result = run["results"][0]
    assert result["level"] == "error"
    assert result["ruleId"] == run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"]
    assert result["message"]["text"] == "a suffix\\x1b[2K unlocks"
    assert result["properties"]["asr"] == "99.3 % (97.6-99.8, n=300)"
    assert run["invocations"][0]["executionSuccessful"]


def test_what_could_not_be_tested_is_no_success() -> None:
    text = to_sarif(Findings(verdict=Verdict.UNTESTED), model="m", version="1")
    run = json.loads(text)["runs"][0]
    assert run["results"] == []
    assert not run["invocations"][0]["executionSuccessful"]
