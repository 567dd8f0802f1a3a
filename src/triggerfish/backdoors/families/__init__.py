"""The families of backdoors, one file each; `triggerfish list families` shows them."""

import pkgutil
from importlib import import_module


def import_families() -> None:
    """Import every file of this package, so that its family is registered."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        import_module(module.name)
