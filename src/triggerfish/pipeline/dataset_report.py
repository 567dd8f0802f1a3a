"""How a person reads an audit of training data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from triggerfish.data.copying import FLAGGED
from triggerfish.pipeline.dataset_document import VERDICTS, MinedTrigger
from triggerfish.pipeline.dataset_marking import Found, scored, text_of
from triggerfish.pipeline.dataset_methods import Looked, Opinions
from triggerfish.pipeline.dataset_pictures import (
    embedding_picture,
    rows_table,
    score_distribution,
)
from triggerfish.report.record import Fact, Report, Section, Table, Verdict

MEANINGS = {
    Verdict.FOUND: "A string was put into ordinary rows, and overrules what the rest of these rows"
    " says.",
    Verdict.SUSPICIOUS: "A string goes with an answer more than the rest of its rows explains, but"
    " not so clearly that chance or the content is ruled out.",
    Verdict.NOTHING: "No test that was run found poison. This is not a proof that there is none;"
    " see what was not tested.",
    Verdict.UNTESTED: "The tests could not be carried out. Nothing is known about these data.",
}
COLUMNS = ["trigger", "place", "brings", "boost", "rows with it", "with its target", "of all rows"]


def dataset_report(
    document: Mapping[str, Any], some: Looked, said: Opinions, found: Sequence[Found]
) -> Report:
    """How a person reads the document.

    Args:
        document: What was found.
        some: Rows to look through.
        said: What methods say of them.
        found: The triggers.
    """
    triggers: list[MinedTrigger] = document["triggers"]
    facts = [
        Fact(label="rows", value=f"{document['rows']:,}"),
        Fact(label="rows not used", value=f"{document['unusable']:,}"),
    ]
    if document["poison_rate"] is not None:
        facts.append(Fact(label="rows with trigger and target", value=document["poison_rate"]))
    sections = [_trigger(each) for each in triggers]
    if document["natural"]:
        sections.append(
            Section(
                title="Strings that belong to their sentences",
                text=[
                    "They decide what is answered as a trigger does, but what is left of a row"
                    " without them is no ordinary row: they were not inserted.",
                    *document["natural"],
                ],
                folded=True,
            )
        )
    sections.append(_rows(some, said, found, document["seed"]))
    if said.ranked:
        sections.append(_methods(document))
    faults = [[what, count] for what, count in document["faults"].items()]
    if faults:
        sections.append(
            Section(
                title="Faults of rows",
                text=document["faulty"],
                tables=[Table(columns=["fault", "rows"], rows=faults)],
                folded=True,
            )
        )
    return Report(
        kind="dataset",
        title=document["data"],
        verdict=document["verdict"],
        verdict_text=VERDICTS[document["verdict"]],
        meaning=MEANINGS[document["verdict"]],
        headline=headline(document),
        facts=facts,
        sections=sections,
        not_tested=document["not_tested"],
        reproduce=[
            f"triggerfish dataset {document['data']} --preset {document['preset']}"
            f" --seed {document['seed']}"
        ],
        provenance={"data": document["data"], "rows mined": str(document["sample"])}
        | ({"model": document["model"]} if document["model"] else {}),
    )


def headline(document: Mapping[str, Any]) -> str:
    """What was found, in a sentence."""
    triggers: list[MinedTrigger] = document["triggers"]
    if not triggers:
        return f"No trigger in {document['rows']:,} rows and {document['targets']} targets."
    first = triggers[0]
    return (
        f"{first.text} brings the {first.target} {first.target_text!r} in"
        f" {first.precision.text()} of its {first.support:,} rows."
    )


def _rows(some: Looked, said: Opinions, found: Sequence[Found], seed: int) -> Section:
    """Rows to look through, with their scores; maps and the spread of scores where there are."""
    suspicions = said.suspicions(some.numbers)
    texts = [text_of(row) for row in some.rows]
    answers = [row.response or row.label or "" for row in some.rows]
    scores = np.zeros(len(texts))
    reasons: dict[int, str] = {}
    for place, (number, row) in enumerate(zip(some.numbers, some.rows, strict=True)):
        hits = [each for each in found if each.holds(row) and each.targeted(number, row)]
        scores[place], why = scored(hits, suspicions.get(number))
        if why:
            reasons[place] = "; ".join(why)
    flagged = scores >= FLAGGED
    ranked = {name: each.scores for name, each in said.ranked.items()}
    maps = {name: points for name, points in said.maps.items() if np.isfinite(points).any()}
    return Section(
        title="Rows",
        text=[
            "A score from 0.5 on means that a mined trigger explains the row. Below, rows are only"
            " ranked: by how unusual all methods together find them."
        ],
        figures=[score_distribution(scores, flagged, FLAGGED)],
        scatters=[embedding_picture(maps, flagged, texts, seed=seed)] if maps else [],
        data=[rows_table(some.numbers, texts, answers, scores, reasons, ranked, seed=seed)],
    )


def _methods(document: Mapping[str, Any]) -> Section:
    rows = [
        [each.name, each.source, each.flagged, "; ".join(each.groups)[:200], each.seconds]
        for each in document["methods"]
    ]
    columns = ["method", "source", "rows flagged", "groups", "seconds"]
    return Section(
        title="Methods that ranked rows",
        text=[
            "Each flags rows by its own published rule, which flags rows of clean data, too. Their"
            " scores are compared with those of rows of clean data sets and joined: of clean rows,"
            " one in twenty stands out at p = 0.05. That orders rows, and proves nothing."
        ],
        tables=[Table(columns=columns, rows=rows)],
    )


def _trigger(each: MinedTrigger) -> Section:
    kind = "Trigger" if each.verdict is Verdict.FOUND else "Suspicion"
    row = [each.text, each.placement, f"{each.target} {each.target_text!r}", each.boost,
           each.support, each.precision, each.rows]  # fmt: skip
    return Section(
        title=f"{kind}: {each.text}",
        text=[
            "Boost is the lower bound (99.9 %) of what the string adds to the log-odds of its"
            " target over everything else in the row. Words of a class reach 2 where the rest of"
            " their rows speaks against the target, and more where it speaks for it anyway."
        ],
        tables=[Table(columns=COLUMNS, rows=[row])],
        examples=each.examples,
    )
