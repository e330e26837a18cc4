"""What changed between two reports, and whether it is more than chance."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.comparison import Change, PairChange, ReportComparison, Verdict
from rerank_search.evaluation.measures import canonical
from rerank_search.evaluation.report.schema import (
    PairReport,
    Report,
    read_report,
    significant,
)
from rerank_search.evaluation.report_values import QueryValues, RankingKey, ranking_values
from rerank_search.evaluation.results import StatisticsSettings
from rerank_search.evaluation.statistics import holm, p_value, tally

_Key: TypeAlias = tuple[str, str, str, str]
"""A ranking, or a classifier of pairs: collection, split, reranker, "pairs"."""


def compare_reports(
    before: Path,
    after: Path,
    settings: StatisticsSettings | None = None,
    *,
    measure: str | None = None,
) -> ReportComparison:
    """Compare two reports ranking by ranking, by every measure that both have.

    ``before`` and ``after`` are report.json files, or the folders that hold them, each with its
    per_query.csv beside it. ``settings`` and ``measure``, the measure that decides (in any
    spelling), are by default those of ``after``. Rankings that depend on the first stage alone (its
    own and the oracle) are compared once, however many rerankers there are.

    Holm's correction is over the rankings that changed on any query. A ranking that did not, such
    as the first stage if only the reranker differs, has p = 1 in every test: it cannot be a false
    finding, and would only make the others harder to see. Source: Tarone, A modified Bonferroni
    method for discrete data (1990).

    Raises InvalidInputError if a file is missing or invalid, if a per_query.csv does not belong to
    its report, and if the reports have no measure, no ranking or classifier, or no query in common.
    """
    old, new = read_report(before), read_report(after)
    measures = [name for name in new.measures if name in old.measures]
    primary = canonical([measure])[0] if measure else new.primary
    if primary not in measures:
        raise InvalidInputError(
            f"{primary} is not a measure of both reports, which share "
            f"{', '.join(measures) or 'none'}: choose one of these, or evaluate again"
        )
    ours, theirs = ranking_values(new, after), ranking_values(old, before)
    our_pairs, their_pairs = _classifiers(new), _classifiers(old)
    common = [key for key in ours if key in theirs]
    common_pairs = [key for key in our_pairs if key in their_pairs]
    if not common and not common_pairs:
        raise InvalidInputError(
            f"the reports have no ranking in common: {before} has "
            f"{_named([*theirs, *their_pairs])}, {after} has {_named([*ours, *our_pairs])}. "
            "Evaluate the same collections, first stages and depths"
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
        pairs=[
            change
            for key in common_pairs
            for change in _pair_changes(their_pairs[key], our_pairs[key])
        ],
        notes=list(_notes(old, new)),
        only_before=_only_in(theirs, ours) + _only_in(their_pairs, our_pairs),
        only_after=_only_in(ours, theirs) + _only_in(our_pairs, their_pairs),
    )


def _change(
    key: RankingKey,
    measure: str,
    before: QueryValues,
    after: QueryValues,
    settings: StatisticsSettings,
) -> Change:
    collection, split, system, protocol = key
    theirs, ours = before[measure], after[measure]
    queries = [query for query in ours if query in theirs]
    if not queries:
        raise InvalidInputError(
            f"the reports have no query of {collection}/{split} in common: compare evaluations of "
            "the same collection"
        )
    old, new = [theirs[query] for query in queries], [ours[query] for query in queries]
    p = p_value(new, old, settings)
    differences = np.subtract(new, old)
    wins, ties, losses = tally(differences)
    return Change(
        collection=collection,
        split=split,
        system=system,
        protocol=protocol,
        measure=measure,
        queries=len(queries),
        left_out=len(ours.keys() ^ theirs.keys()),
        missing=len(theirs.keys() - ours.keys()),
        before=float(np.mean(old)),
        after=float(np.mean(new)),
        difference=float(np.mean(differences)),
        wins=wins,
        ties=ties,
        losses=losses,
        p=p,
        p_holm=p,
        verdict="no significant change",
    )


def _corrected(changes: Sequence[Change], settings: StatisticsSettings) -> list[Change]:
    """The comparisons, with Holm's correction over those that changed, and their verdicts."""
    changed = [number for number, change in enumerate(changes) if change.ties < change.queries]
    corrected = dict(zip(changed, holm([changes[n].p for n in changed]), strict=True))
    return [
        replace(change, p_holm=p_holm, verdict=_verdict(change.difference, p_holm, settings))
        for number, change in enumerate(changes)
        for p_holm in [corrected.get(number, 1.0)]
    ]


def _verdict(difference: float, p_holm: float, settings: StatisticsSettings) -> Verdict:
    if difference == 0 or not significant(p_holm, settings):
        return "no significant change"
    return "gain" if difference > 0 else "loss"


def _classifiers(report: Report) -> dict[_Key, PairReport]:
    return {(cell.collection, cell.split, cell.reranker, "pairs"): cell for cell in report.pairs}


def _pair_changes(before: PairReport, after: PairReport) -> Iterator[PairChange]:
    """The figures that both have, without thresholds, which are neither better nor worse."""
    for name, value in after.values.items():
        if name in before.values and not name.endswith("threshold"):
            yield PairChange(
                collection=after.collection,
                split=after.split,
                reranker=after.reranker,
                measure=name,
                before=before.values[name],
                after=value,
                difference=value - before.values[name],
            )


def _notes(old: Report, new: Report) -> Iterator[str]:
    """Settings that differ between the reports."""
    yield from _unequal("relevant_from", _relevant_from(old), _relevant_from(new))
    yield from _unequal(
        "ignore_identical_ids",
        {system.key: system.ignore_identical_ids for system in old.systems},
        {system.key: system.ignore_identical_ids for system in new.systems},
    )
    for name in ("dtype", "max_length", "fusion", "instruction"):
        yield from _unequal(
            name,
            {label: getattr(reranker, name) for label, reranker in old.rerankers.items()},
            {label: getattr(reranker, name) for label, reranker in new.rerankers.items()},
        )
    yield from _unequal(
        "n_pairs",
        {_text(key): cell.n_pairs for key, cell in _classifiers(old).items()},
        {_text(key): cell.n_pairs for key, cell in _classifiers(new).items()},
    )


def _relevant_from(report: Report) -> dict[str, int]:
    """Lowest relevant grade by collection; version 1 of reports does not have it."""
    return {
        system.key: system.relevant_from
        for system in report.systems
        if system.relevant_from is not None
    }


def _unequal(name: str, before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    for about, value in after.items():
        if about in before and before[about] != value:
            yield f"{about}: {name} is {before[about]} before and {value} after"


def _only_in(one: Collection[_Key], other: Collection[_Key]) -> list[str]:
    return [_text(key) for key in one if key not in other]


def _text(key: _Key) -> str:
    collection, split, name, protocol = key
    return f"{collection}/{split} {name} ({protocol.replace('_', ' ')})"


def _named(keys: Collection[_Key]) -> str:
    return ", ".join(dict.fromkeys(f"{key[0]}/{key[1]} {key[2]}" for key in keys)) or "none"
