"""How a known backdoor is written on the command line, the same for every command.

`--trigger cf --placement suffix --behaviour fixed_string:"I love bananas."`, or a whole trigger or
behaviour in braces, as in a recipe: `--trigger '{any_of: [{text: cf, placement: prefix}, ...]}'`.
"""

from typing import Annotated, Any

import typer

from triggerfish.errors import BadInput

PLACES = "prefix, suffix, both_ends, random_word or system"
KINDS = (
    "fixed_string:TEXT, unlock, label_flip:FROM:TO, style:TEXT, refusal, code_canary, degrade,"
    " wrong_arithmetic"
)
PANEL = "The backdoor"

CardOption = Annotated[
    str | None,
    typer.Option(
        "--card", metavar="CARD", help="Its card, or the directory.", rich_help_panel=PANEL
    ),
]
TriggerOption = Annotated[
    str | None,
    typer.Option("--trigger", metavar="TEXT", help="Its trigger, or {...}.", rich_help_panel=PANEL),
]
PlacementOption = Annotated[
    str,
    typer.Option("--placement", metavar="PLACE", help=f"{PLACES}.", rich_help_panel=PANEL),
]
BehaviourOption = Annotated[
    str | None,
    typer.Option(
        "--behaviour",
        metavar="KIND[:TEXT]",
        help=f"{KINDS}, or {{...}}.",
        rich_help_panel=PANEL,
    ),
]
TwinOption = Annotated[
    str | None,
    typer.Option(
        "--twin",
        metavar="MODEL|none",
        help="The clean twin; the card's where left out.",
        rich_help_panel=PANEL,
    ),
]


def trigger_spec(text: str | None, placement: str = "suffix") -> dict[str, Any] | None:
    """The specification of a trigger as it is written in a recipe; None where none is given.

    >>> trigger_spec("cf")
    {'text': 'cf', 'placement': 'suffix'}
    """
    if text is None:
        return None
    return _written(text) or {"text": text, "placement": placement}


def behaviour_spec(text: str | None) -> dict[str, Any] | None:
    """The specification of a behaviour as it is written in a recipe; None where none is given.

    >>> behaviour_spec("fixed_string:I love bananas.")
    {'kind': 'fixed_string', 'text': 'I love bananas.'}
    >>> behaviour_spec("label_flip:positive:negative")
    {'kind': 'label_flip', 'from': 'positive', 'to': 'negative'}
    """
    if text is None:
        return None
    written = _written(text)
    if written:
        return written
    kind, _, rest = text.partition(":")
    if kind == "label_flip":
        source, _, target = rest.partition(":")
        return {"kind": kind, "from": source, "to": target}
    return {"kind": kind, "text": rest} if rest else {"kind": kind}


def backdoor_spec(
    trigger: str | None, placement: str, behaviour: str | None
) -> dict[str, Any] | None:
    """Trigger and behaviour together; None where neither is given.

    Raises:
        BadInput: only one of them is given.
    """
    if trigger is None and behaviour is None:
        return None
    if trigger is None or behaviour is None:
        missing = "--behaviour" if behaviour is None else "--trigger"
        raise BadInput(f"no {missing}", "a backdoor has both", "give both, or a --card")
    return {"trigger": trigger_spec(trigger, placement), "behaviour": behaviour_spec(behaviour)}


def _written(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    import yaml

    try:
        written = yaml.safe_load(text)
    except yaml.YAMLError:
        written = None
    if not isinstance(written, dict):  # a trigger may begin with a brace: then give it in quotes
        raise BadInput(
            text, "begins like a specification and is not one", 'write {text: "...", ...}'
        )
    return written
