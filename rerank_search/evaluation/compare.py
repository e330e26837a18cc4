"""What changed between two reports, and whether it is more than chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.report import per_query
from rerank_search.evaluation.report.build import ranking_name
from rerank_search.evaluation.report.per_query import PerQuery, read_per_query
from rerank_search.evaluation.report.schema import (
    Report,
    read_report,
    report_path,
    significant,
)
from rerank_search.evaluation.results import Protocol, StatisticsSettings, System
from rerank_search.evaluation.statistics import holm, p_value

Verdict: TypeAlias = Literal["gain", "loss", "no significant change"]

# sentence-transformers' numbers have no say: they are those of the evaluator, not of a search.
_COMPARED: tuple[Protocol, ...] = ("first_stage", "retrieved", "all_positives", "oracle")

_Ranking: TypeAlias = tuple[str, str, str, Protocol]
"""Collection, split, name of the ranking, protocol."""

_Values: TypeAlias = Mapping[str, Mapping[str, float]]
"""Measure to query id to value."""


@dataclass(frozen=True, slots=True)
class Change:
    """One ranking in both reports, by one measure, over the ``queries`` that both have.

    ``left_out`` counts the queries that only one of them has. ``difference`` is after - before,
    ``p`` that of the paired test, ``p_holm`` the same corrected for all rankings compared by this
    measure; the verdict goes by ``p_holm``.
    """

    collection: str
    split: str
    system: str
    protocol: Protocol
    measure: str
    queries: int
    left_out: int
    before: float
    after: float
    difference: float
    p: float
    p_holm: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ReportComparison:
    """Every ranking that both reports have, and the names of those that only one has.

    ``primary`` is the measure that decides.
    """

    primary: str
    changes: Sequence[Change]
    only_before: Sequence[str]
    only_after: Sequence[str]

    def by(self, measure: str) -> list[Change]:
        """The changes in one measure."""
        return [change for change in self.changes if change.measure == measure]

    @property
    def losses(self) -> list[Change]:
        """The significant losses in the primary measure."""
        return [change for change in self.by(self.primary) if change.verdict == "loss"]


def compare_reports(
    before: Path,
    after: Path,
    settings: StatisticsSettings | None = None,
    *,
    measure: str | None = None,
) -> ReportComparison:
    """Compare two reports ranking by ranking, by every measure that both have.

    ``before`` and ``after`` are report.json files, or the folders that hold them, each with its
    per_query.csv beside it. ``settings`` are those of ``after`` unless given, and so is
    ``measure``, the one that decides. What the first stage alone decides (its own ranking and the
    oracle) is compared once, however many rerankers there are. Raises InvalidInputError where a
    file is missing or cannot be used, and where the reports have no measure, ranking or query in
    common.
    """
    old, new = read_report(before), read_report(after)
    measures = [name for name in new.measures if name in old.measures]
    primary = measure or new.primary
    if primary not in measures:
        raise InvalidInputError(
            f"{primary} is not a measure of both reports; those of both are "
            f"{', '.join(measures) or 'none'}: choose one of them, or evaluate again"
        )
    ours, theirs = _rankings(new, after), _rankings(old, before)
    common = [key for key in ours if key in theirs]
    if not common:
        raise InvalidInputError(
            f"the reports have no ranking in common: {before} has {_named(theirs)}, {after} has "
            f"{_named(ours)}; evaluate the same collections, first stages and depths"
        )
    settings = settings or new.statistics
    changes = [
        change
        for name in measures
        for change in _corrected(
            [_change(key, name, theirs[key], ours[key], settings) for key in common], settings
        )
    ]
    return ReportComparison(
        primary,
        changes,
        only_before=[_text(key) for key in theirs if key not in ours],
        only_after=[_text(key) for key in ours if key not in theirs],
    )


def _rankings(report: Report, path: Path) -> dict[_Ranking, _Values]:
    """The values of each ranking of a report, from the file beside it."""
    beside = report_path(path).with_name(per_query.NAME)
    found = read_per_query(beside)
    return dict(_named_values(report, found, beside))


def _named_values(
    report: Report, found: PerQuery, path: Path
) -> Iterator[tuple[_Ranking, _Values]]:
    for system in report.systems:
        identity = System(system.first_stage, system.candidates, system.reranker)
        for protocol in _COMPARED:
            if protocol not in system.protocols:
                continue
            values = found.get((system.collection, system.split, system.name, protocol), {})
            for measure in report.measures:
                if len(values.get(measure, ())) != system.n_queries:
                    raise InvalidInputError(
                        f"{path} has {len(values.get(measure, ())):,} values of {measure} for "
                        f"{system.name} on {system.key} ({protocol}), and its report has "
                        f"{system.n_queries:,} queries: keep files of the same run together"
                    )
            name = ranking_name(identity, protocol)
            yield (system.collection, system.split, name, protocol), values


def _change(
    key: _Ranking, measure: str, before: _Values, after: _Values, settings: StatisticsSettings
) -> Change:
    collection, split, system, protocol = key
    theirs, ours = before[measure], after[measure]
    queries = [query for query in ours if query in theirs]
    if not queries:
        raise InvalidInputError(
            f"the reports have no query of {collection}/{split} in common: compare runs on the "
            "same collection"
        )
    old, new = [theirs[query] for query in queries], [ours[query] for query in queries]
    p = p_value(new, old, settings)
    return Change(
        collection=collection,
        split=split,
        system=system,
        protocol=protocol,
        measure=measure,
        queries=len(queries),
        left_out=len(ours.keys() ^ theirs.keys()),
        before=float(np.mean(old)),
        after=float(np.mean(new)),
        difference=float(np.mean(np.subtract(new, old))),
        p=p,
        p_holm=p,
        verdict="no significant change",
    )


def _corrected(changes: Sequence[Change], settings: StatisticsSettings) -> list[Change]:
    """The changes with Holm's correction over all of them, and the verdicts that follow."""
    corrected = holm([change.p for change in changes])
    return [
        replace(change, p_holm=p_holm, verdict=_verdict(change.difference, p_holm, settings))
        for change, p_holm in zip(changes, corrected, strict=True)
    ]


def _verdict(difference: float, p_holm: float, settings: StatisticsSettings) -> Verdict:
    if difference == 0 or not significant(p_holm, settings):
        return "no significant change"
    return "gain" if difference > 0 else "loss"


def _text(key: _Ranking) -> str:
    collection, split, system, protocol = key
    return f"{collection}/{split} {system} ({protocol.replace('_', ' ')})"


def _named(rankings: Mapping[_Ranking, _Values]) -> str:
    names = dict.fromkeys(f"{key[0]}/{key[1]} {key[2]}" for key in rankings)
    return ", ".join(names) or "none"
