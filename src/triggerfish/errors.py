"""Errors that a user can act on: each gives the value, the rule it broke, and the remedy."""

from __future__ import annotations


class TriggerfishError(Exception):
    """Base of all errors that are shown to a user without a traceback.

    Args:
        value: What was given, for example ``"recipe key 'rnak'"``.
        rule: The rule that it breaks, for example ``"is not a known key"``.
        remedy: What to do about it, for example ``"use one of: rank, seed"``.
    """

    exit_code = 2

    def __init__(self, value: str, rule: str, remedy: str) -> None:
        """Keep the three parts; the text is made of them."""
        super().__init__(value, rule, remedy)
        self.value = value
        self.rule = rule
        self.remedy = remedy

    def __str__(self) -> str:
        """Return ``value: rule. remedy.``, on one line."""
        return f"{self.value}: {self.rule}. {self.remedy}."


class BadInput(TriggerfishError):
    """The request or an input is bad; nothing was tested (exit code 2)."""

    exit_code = 2


class CouldNotTest(TriggerfishError):
    """The input is fine but the test could not be carried out (exit code 3)."""

    exit_code = 3
