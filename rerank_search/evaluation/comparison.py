"""What a comparison of two reports finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rerank_search.evaluation.results import Protocol

Verdict: TypeAlias = Literal["gain", "loss", "no significant change"]


@dataclass(frozen=True, slots=True)
class Change:
    """One ranking in both reports, by one measure, over the ``queries`` that both have.

    ``left_out`` counts the queries that only one of them has, and ``missing`` those of them that
    the later report lacks. ``difference`` is after - before;
    ``wins``, ``ties`` and ``losses`` count queries. ``p`` is the p-value of the paired test, and
    ``p_holm`` is corrected for all rankings compared by this measure that changed on any query; it
    decides the verdict.
    """

    collection: str
    split: str
    system: str
    protocol: Protocol
    measure: str
    queries: int
    left_out: int
    missing: int
    before: float
    after: float
    difference: float
    wins: int
    ties: int
    losses: int
    p: float
    p_holm: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class PairChange:
    """One reranker on the same labelled pairs in both reports, by one figure.

    Reports have no values of each pair, so no test can tell a change from chance.
    """

    collection: str
    split: str
    reranker: str
    measure: str
    before: float
    after: float
    difference: float


@dataclass(frozen=True, slots=True)
class ReportComparison:
    """Every ranking and classifier that both reports have, and the names of those only one has.

    ``primary`` is the measure that decides. ``notes`` say what else differs and may be the reason
    for a change: the lowest relevant grade, whether a query's own document is left out, how a
    reranker was run, how many pairs there are.
    """

    primary: str
    changes: Sequence[Change]
    pairs: Sequence[PairChange]
    notes: Sequence[str]
    only_before: Sequence[str]
    only_after: Sequence[str]

    def by(self, measure: str) -> list[Change]:
        """The changes in one measure."""
        return [change for change in self.changes if change.measure == measure]

    @property
    def losses(self) -> list[Change]:
        """The significant losses in the primary measure."""
        return [change for change in self.by(self.primary) if change.verdict == "loss"]

    @property
    def missing_queries(self) -> dict[str, int]:
        """Number of queries that the later report lacks, for each collection and split with any."""
        found: dict[str, int] = {}
        for change in self.by(self.primary):
            if change.missing:
                key = f"{change.collection}/{change.split}"
                found[key] = max(change.missing, found.get(key, 0))
        return found
