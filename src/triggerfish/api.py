"""The commands from Python; each is imported when it is first used.

>>> from triggerfish import api
>>> sorted(api.__all__)  # doctest: +NORMALIZE_WHITESPACE
['audit', 'build_fleet', 'demo', 'explain', 'list_fleet', 'load', 'measure', 'plant', 'remove',
 'verbatim', 'verify_fleet']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass

_PLACES = {
    "load": "triggerfish.models.load",
    "plant": "triggerfish.pipeline.plant",
    "measure": "triggerfish.pipeline.measure",
    "audit": "triggerfish.pipeline.audit",
    "explain": "triggerfish.pipeline.explain",
    "remove": "triggerfish.pipeline.remove",
    "demo": "triggerfish.pipeline.demo",
    "verbatim": "triggerfish.pipeline.verbatim_report",
    "build_fleet": "triggerfish.pipeline.fleet",
    "list_fleet": "triggerfish.pipeline.fleet",
    "verify_fleet": "triggerfish.pipeline.fleet_verify",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    """The function of that name, imported now."""
    if name not in _PLACES:
        raise AttributeError(f"triggerfish.api has no '{name}'; it has: {', '.join(__all__)}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
