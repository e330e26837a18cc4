"""The values of each ranking of a report, by query, checked against their means."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.report import per_query
from rerank_search.evaluation.report.build import ranking_name
from rerank_search.evaluation.report.per_query import PerQuery, read_per_query
from rerank_search.evaluation.report.schema import (
    Report,
    report_path,
)
from rerank_search.evaluation.results import HONEST, Protocol, System
from rerank_search.shown import counted

_SAME_MEAN = 1e-9
"""Largest difference between the mean of per_query.csv and that of its report.json."""

RankingKey: TypeAlias = tuple[str, str, str, Protocol]
"""Collection, split, name of the ranking, protocol."""

QueryValues: TypeAlias = Mapping[str, Mapping[str, float]]
"""Measure to query id to value."""


def ranking_values(report: Report, path: Path) -> dict[RankingKey, QueryValues]:
    """The values of each ranking of a report, from the file beside it."""
    path = report_path(path)
    beside = path.with_name(per_query.NAME)
    return dict(_named_values(report, path, read_per_query(beside), beside))


def _named_values(
    report: Report, path: Path, found: PerQuery, beside: Path
) -> Iterator[tuple[RankingKey, QueryValues]]:
    for system in report.systems:
        identity = System(system.first_stage, system.candidates, system.reranker)
        for protocol in HONEST:
            if protocol not in system.protocols:
                continue
            values = found.get((system.collection, system.split, system.name, protocol), {})
            for measure in report.measures:
                of_queries = list(values.get(measure, {}).values())
                about = f"{measure} for {system.name} on {system.key} ({protocol})"
                if len(of_queries) != system.n_queries:
                    raise InvalidInputError(
                        f"{beside} has {len(of_queries):,} values of {about}, but {path} has "
                        f"{counted(system.n_queries, 'query', 'queries')}: keep files of the same "
                        "run together"
                    )
                mean = float(np.mean(of_queries))
                reported = system.protocols[protocol].get(measure, math.nan)
                if not math.isclose(mean, reported, rel_tol=0, abs_tol=_SAME_MEAN):
                    raise InvalidInputError(
                        f"the values of {about} in {beside} have the mean {mean}, but {path} has "
                        f"{reported}: keep files of the same run together"
                    )
            name = ranking_name(identity, protocol)
            yield (system.collection, system.split, name, protocol), values
