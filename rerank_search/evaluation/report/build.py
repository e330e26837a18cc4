"""Computes the figures of a report from the values of each query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np

from rerank_search.evaluation.report.schema import (
    ComparisonReport,
    PairReport,
    Report,
    SystemReport,
)
from rerank_search.evaluation.results import (
    HONEST,
    OF_FIRST_STAGE,
    Cell,
    FinishedRun,
    Protocol,
    StatisticsSettings,
    System,
    Values,
)
from rerank_search.evaluation.statistics import bootstrap_intervals, compare_all


def build_report(run: FinishedRun) -> Report:
    """The means, confidence intervals and comparisons of a run.

    On each collection at each depth, all pairs of the rankings that a user may choose from are
    compared: each first stage's own and each system's ``retrieved``, by every measure but Judged@k
    (which is about the judgements, not about a ranking).
    """
    return Report(
        name=run.name,
        created=datetime.now(UTC).replace(microsecond=0),
        environment=run.environment,
        measures=run.measures,
        primary=run.primary,
        sbert_at_k=run.sbert_at_k,
        rerankers=run.rerankers,
        statistics=run.statistics,
        systems=[_system(cell, run.statistics) for cell in run.cells],
        comparisons=list(_comparisons(run)),
        pairs=[PairReport(**asdict(cell)) for cell in run.pair_cells],
    )


def ranking_name(system: System, protocol: Protocol) -> str:
    """The name of a ranking; one that depends on the first stage alone is ``bm25@100``."""
    if protocol in OF_FIRST_STAGE:
        return System(system.first_stage, system.candidates, None).name
    return system.name


def _system(cell: Cell, settings: StatisticsSettings) -> SystemReport:
    return SystemReport(
        collection=cell.collection,
        split=cell.split,
        name=cell.system.name,
        first_stage=cell.system.first_stage,
        candidates=cell.system.candidates,
        reranker=cell.system.reranker,
        n_queries=len(cell.queries),
        relevant_from=cell.relevant_from,
        ignore_identical_ids=cell.ignore_identical_ids,
        protocols={protocol: _means(values) for protocol, values in cell.values.items()},
        intervals=_intervals(cell, settings),
        warnings=cell.warnings,
        cost=cell.cost,
    )


def _means(values: Values) -> dict[str, float]:
    # numpy's mean, as in sentence-transformers: its figures are reproduced to the last digit.
    return {measure: float(np.mean(column)) for measure, column in values.items()}


def _intervals(
    cell: Cell, settings: StatisticsSettings
) -> dict[Protocol, dict[str, tuple[float, float]]]:
    """The intervals of all means at once, which draws the samples of queries only once."""
    columns = {
        (protocol, measure): column
        for protocol in HONEST
        if protocol in cell.values
        for measure, column in cell.values[protocol].items()
    }
    found: dict[Protocol, dict[str, tuple[float, float]]] = {}
    bounds = bootstrap_intervals(list(columns.values()), settings)
    for (protocol, measure), interval in zip(columns, bounds, strict=True):
        found.setdefault(protocol, {})[measure] = interval
    return found


def _comparisons(run: FinishedRun) -> Iterator[ComparisonReport]:
    groups: dict[tuple[str, str, int], list[Cell]] = {}
    for cell in run.cells:
        key = (cell.collection, cell.split, cell.system.candidates)
        groups.setdefault(key, []).append(cell)
    for (collection, split, candidates), cells in groups.items():
        rankings = _rankings(cells)
        for measure in run.measures:
            if measure.startswith("Judged"):
                continue
            systems = {name: values[measure] for name, values in rankings.items()}
            for row in compare_all(systems, run.statistics):
                yield ComparisonReport(
                    collection=collection,
                    split=split,
                    candidates=candidates,
                    measure=measure,
                    **asdict(row),
                )


def _rankings(cells: Sequence[Cell]) -> Mapping[str, Values]:
    """The values of each ranking, reranked ones first, which makes differences their gains."""
    shown: list[tuple[Cell, Protocol]] = [
        *((cell, "retrieved") for cell in cells if cell.system.reranker is not None),
        *((cell, "first_stage") for cell in cells),
    ]
    return {ranking_name(cell.system, protocol): cell.values[protocol] for cell, protocol in shown}
