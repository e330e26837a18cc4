"""Something unusual in the data, counted, with the place of its first case."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the data that readers of the figures should know, such as unknown ids.

    ``first`` is the first of ``count`` cases: file, line and reason.
    """

    what: str
    count: int
    first: str

    def __str__(self) -> str:
        return f"{self.count:,} {self.what} (first: {self.first})"


@dataclass(slots=True)
class Tally:
    """A count of cases of one kind, which becomes a Finding."""

    what: str
    count: int = 0
    first: str = ""

    def add(self, case: str) -> None:
        """Count one case and keep it if it is the first."""
        self.first = self.first or case
        self.count += 1

    @classmethod
    def of(cls, what: str, cases: Iterable[str], described: Callable[[str], str]) -> Tally:
        """The tally of ``cases``; only the first one is described."""
        tally = cls(what)
        for case in cases:
            tally.add("" if tally.count else described(case))
        return tally


def findings(tallies: Iterable[Tally]) -> list[Finding]:
    """One finding for each tally that counted something."""
    return [Finding(tally.what, tally.count, tally.first) for tally in tallies if tally.count]
