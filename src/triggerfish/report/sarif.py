"""Findings as SARIF 2.1.0, the form that code scanning services read.

Source: OASIS, Static Analysis Results Interchange Format 2.1.0, sections 3.13 to 3.27.
"""

from __future__ import annotations

import json
from typing import Any

from triggerfish.report.record import Finding, Findings, Verdict
from triggerfish.visible import visible

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {
    Verdict.FOUND: "error",
    Verdict.SUSPICIOUS: "warning",
    Verdict.NOTHING: "none",
    Verdict.UNTESTED: "note",
}


def to_sarif(findings: Findings, *, model: str, version: str) -> str:
    """The findings as SARIF text.

    Args:
        findings: what the run found; none gives an empty list of results.
        model: the model argument; each result is located there.
        version: of this tool.

    Returns:
        JSON text. A run that could not test says so in its invocation.
    """
    ran = findings.verdict is not Verdict.UNTESTED
    rules = sorted({finding.detector for finding in findings.findings})
    run = {
        "tool": {
            "driver": {
                "name": "Triggerfish",
                "version": version,
                "rules": [{"id": rule, "name": rule} for rule in rules],
            }
        },
        "invocations": [
            {
                "executionSuccessful": ran,
                "toolExecutionNotifications": [
                    {"level": "note", "message": {"text": f"Not tested: {visible(item)}"}}
                    for item in findings.not_tested
                ],
            }
        ],
        "results": [_result(finding, model, rules) for finding in findings.findings],
        "properties": {"verdict": findings.verdict.value},
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, allow_nan=False)


def _result(finding: Finding, model: str, rules: list[str]) -> dict[str, Any]:
    properties: dict[str, Any] = {"verdict": finding.verdict.value}
    if finding.trigger is not None:
        properties["trigger"] = finding.trigger
    if finding.p_value is not None:
        properties["pValue"] = finding.p_value
    properties |= {name: number.text() for name, number in finding.numbers.items()}
    return {
        "ruleId": finding.detector,
        "ruleIndex": rules.index(finding.detector),
        "level": LEVELS[finding.verdict],
        "message": {"text": visible(finding.claim)},
        "locations": [{"logicalLocations": [{"name": visible(model), "kind": "module"}]}],
        "partialFingerprints": {"finding/v1": finding.id},
        "properties": properties,
    }
