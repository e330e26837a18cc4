"""The schema of report.json, and reading it back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from rerank_search.declared import validated
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.results import (
    Cost,
    Protocol,
    RerankerDeclaration,
    StatisticsSettings,
)

FORMAT = "rerank-search-report"
VERSION = 3
NAME = "report.json"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SystemReport(_Record):
    """One system on one collection: means over its queries, by protocol and measure.

    ``intervals`` are bootstrap confidence intervals [low, high] of the means; the ``sbert``
    protocol has none. ``first_stage`` and ``candidates`` say what was reranked, ``reranker`` by
    what (None: not reranked). ``relevant_from`` is the lowest grade that counts as relevant (None
    in version 1). ``ignore_identical_ids`` says that the document with a query's id was left out
    of the query's rankings, which versions 1 and 2 could not do.
    """

    collection: str
    split: str
    name: str
    first_stage: str
    candidates: int
    reranker: str | None
    n_queries: int
    relevant_from: int | None = None
    ignore_identical_ids: bool = False
    protocols: Mapping[Protocol, Mapping[str, float]]
    intervals: Mapping[Protocol, Mapping[str, tuple[float, float]]]
    warnings: Sequence[str]
    cost: Cost | None

    @property
    def key(self) -> str:
        """The collection and its split: ``scifact/test``."""
        return f"{self.collection}/{self.split}"

    @property
    def first_stage_name(self) -> str:
        """The name of the first stage's own ranking in comparisons: ``bm25@100``."""
        return f"{self.first_stage}@{self.candidates}"

    @property
    def shown(self) -> Protocol:
        """The protocol that a user of this system sees."""
        return "first_stage" if self.reranker is None else "retrieved"


class ComparisonReport(_Record):
    """Two rankings of one collection at one depth, over the same queries.

    ``difference`` is the mean of ours - theirs, ``interval`` its bootstrap confidence interval,
    ``p`` the p-value of the paired test, and ``p_holm`` is corrected for all pairs of this
    collection, depth and measure. ``wins``, ``ties`` and ``losses`` count queries.
    """

    collection: str
    split: str
    candidates: int
    measure: str
    ours: str
    theirs: str
    difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    wins: int
    ties: int
    losses: int


class PairReport(_Record):
    """One reranker as a classifier of labelled pairs; ``curve`` has points (recall, precision).

    ``intervals`` are bootstrap confidence intervals [low, high] of the values.
    """

    collection: str
    split: str
    reranker: str
    n_pairs: int
    n_positive: int
    values: Mapping[str, float]
    curve: Sequence[tuple[float, float]]
    warnings: Sequence[str]
    intervals: Mapping[str, tuple[float, float]] = {}


class Report(_Record):
    """Everything that a run found, in figures and ids: no text of a collection.

    ``sbert_at_k`` is the cut-off of the ``sbert`` figures, and ``rerankers`` says how each reranker
    was run, by its name in the tables. A report of version 1 has neither.
    """

    format: Literal["rerank-search-report"] = "rerank-search-report"
    version: Literal[1, 2, 3] = 3
    name: str
    created: datetime
    environment: Mapping[str, str]
    measures: Sequence[str]
    primary: str
    sbert_at_k: int | None = None
    rerankers: Mapping[str, RerankerDeclaration] = {}
    statistics: StatisticsSettings
    systems: Sequence[SystemReport]
    comparisons: Sequence[ComparisonReport]
    pairs: Sequence[PairReport]

    def collections(self) -> dict[str, list[SystemReport]]:
        """The systems by collection and split (``scifact/test``), in the order of the run."""
        found: dict[str, list[SystemReport]] = {}
        for system in self.systems:
            found.setdefault(system.key, []).append(system)
        return found

    def comparison(self, system: SystemReport, measure: str) -> ComparisonReport | None:
        """What reranking changed: ``system`` against its own first stage; None without one."""
        return next(
            (
                row
                for row in self.comparisons
                if (row.ours, row.theirs) == (system.name, system.first_stage_name)
                and (row.collection, row.split) == (system.collection, system.split)
                and row.measure == measure
            ),
            None,
        )


def significant(p_holm: float, settings: StatisticsSettings) -> bool:
    """Whether a corrected p-value is below 1 - ``settings.confidence``."""
    return p_holm < round(1 - settings.confidence, 12)


def report_path(path: Path) -> Path:
    """``path``, or if it is a folder the report in it."""
    return path / NAME if path.is_dir() else path


def read_report(path: Path) -> Report:
    """The report at ``path``, a file or its folder.

    Raises InvalidInputError if there is none, if it is not a report, or if a newer version of this
    package wrote it.
    """
    path = report_path(path)
    try:
        return _report(path)
    except RecursionError:
        raise InvalidInputError(f"{path} is nested too deeply: evaluate again") from None


def _report(path: Path) -> Report:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be read ({error.strerror}): give a report.json that `rerank-search "
            "evaluate` wrote, or its folder"
        ) from None
    except ValueError as error:
        raise InvalidInputError(f"{path} is not valid JSON ({error}): evaluate again") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InvalidInputError(
            f"{path} is not a report, because its `format` is not {FORMAT!r}: give a report.json "
            "that `rerank-search evaluate` wrote"
        )
    version = data.get("version")
    if isinstance(version, int) and version > VERSION:
        raise InvalidInputError(
            f"{path} has version {version}, and this package reads version {VERSION}: upgrade "
            "rerank-search"
        )
    return validated(Report, data, path)
