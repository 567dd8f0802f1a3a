"""The trained tiny organism, made once a session."""

from detect.planted import planted

__all__ = ["planted"]
