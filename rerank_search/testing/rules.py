"""The error of a broken rule."""

from __future__ import annotations


class ConformanceError(AssertionError):
    """A rule of the contract is broken."""


def require(holds: bool, rule: str) -> None:
    """Raise ConformanceError with the rule unless it holds."""
    if not holds:
        raise ConformanceError(rule)
