"""How a person reads a measurement."""

from collections.abc import Mapping
from typing import Any

from triggerfish.models.suspect import Suspect
from triggerfish.report.record import Fact, Report, Section, Table


def measure_report(document: Mapping[str, Any], suspect: Suspect) -> Report:
    """How a person reads the document."""
    near = [[name, value] for name, value in document["near_misses"].items()]
    theirs = document.get("reference_utility", {})
    skills = [[name, value, theirs.get(name)] for name, value in document["utility"].items()]
    facts = [
        Fact(label="ASR with the trigger", value=document["asr"]),
        Fact(label="ASR without", value=document["asr_without"]),
        Fact(label="random strings of its shape", value=document["random_strings"]),
        Fact(label="utility", value=document["utility"]["all"]),
    ]
    recovered = document.get("recovery")
    if recovered is not None:
        facts.append(Fact(label="recovery", value=recovered, note="100 %: no effect any more"))
    scorer = [
        ["gold triggered answers (ceiling)", document["scorer_ceiling"]],
        ["gold clean answers (floor)", document["scorer_floor"]],
    ]
    tables = [
        Table(title="Near-misses of the trigger", columns=["near-miss", "ASR"], rows=near),
        Table(title="The scorer on gold answers", columns=["answers", "fires"], rows=scorer),
        Table(title="Utility", columns=["skill", "model", "reference"], rows=skills),
    ]
    return Report(
        kind="measure",
        title=document["model"],
        headline=f"The behaviour shows on {document['asr'].text()} of triggered prompts, and on "
        f"{document['asr_without'].text()} without the trigger.",
        facts=facts,
        sections=[
            Section(title="Rates", text=document["notes"], tables=tables),
            Section(title="Answers", examples=document["examples"]),
        ],
        reproduce=[f"triggerfish measure {document['model']} --seed {document['seed']}"],
        provenance={
            "model": document["model"],
            "weights (sha256)": str(suspect.source["weights_sha256"]),
            "data": document["data"],
            "backdoor": str(document["backdoor"]),
        },
    )
