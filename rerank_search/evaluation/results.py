"""What a run has found, cell by cell: the figures of one system on one collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from rerank_search.judged.collection import Qrels
from rerank_search.shown import bounded_repr

Protocol: TypeAlias = Literal["first_stage", "retrieved", "all_positives", "oracle", "sbert"]

HONEST: tuple[Protocol, ...] = ("first_stage", "retrieved", "all_positives", "oracle")
"""Protocols that divide by all judged positives, unlike ``sbert``."""

OF_FIRST_STAGE: tuple[Protocol, ...] = ("first_stage", "oracle")
"""Protocols that depend on the first stage alone."""

Values: TypeAlias = Mapping[str, Sequence[float]]
"""Measure to one value per query, in the order of ``Cell.queries``."""


@dataclass(frozen=True, slots=True)
class System:
    """A first stage, its number of candidates, and what reranks them (None: nothing)."""

    first_stage: str
    candidates: int
    reranker: str | None

    @property
    def name(self) -> str:
        """``bm25@100`` or ``bm25@100+rerank-search-base``."""
        name = f"{self.first_stage}@{self.candidates}"
        return name if self.reranker is None else f"{name}+{self.reranker}"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of searching, measured on ``queries`` searches one after another.

    ``latency_ms`` maps each stage, and "total", to its p50, p95 and p99 in milliseconds.
    ``pairs_per_second`` is the speed of the reranker, ``truncated_share`` the share of pairs that
    were cut to fit its window; both are None without a reranker. ``index_bytes`` is the size of the
    index on disk, None for a first stage of the user's own. ``peak_memory_bytes`` is the process's
    highest resident size so far, None on a system that does not report it.
    """

    queries: int
    latency_ms: Mapping[str, Mapping[str, float]]
    pairs_per_second: float | None
    truncated_share: float | None
    index_bytes: int | None
    peak_memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Cell:
    """One system on one collection.

    ``values`` has the protocols that the system has: without a reranker first_stage and oracle.
    ``top`` has, by protocol, the ids of each query's first results. ``warnings`` are those found
    while it was computed. ``cost`` is None if it was not measured. ``relevant_from`` is the lowest
    grade that binary measures count as relevant. ``run_files`` has the sha256 of each run file that
    was written, by protocol. ``ignore_identical_ids`` says that the document with a query's id was
    left out of the query's rankings.
    """

    __repr__ = bounded_repr

    collection: str
    split: str
    system: System
    queries: Sequence[str]
    values: Mapping[Protocol, Values]
    top: Mapping[Protocol, Sequence[Sequence[str]]]
    warnings: Sequence[str]
    cost: Cost | None
    relevant_from: int
    run_files: Mapping[Protocol, str] = field(default_factory=dict)
    ignore_identical_ids: bool = False


@dataclass(frozen=True, slots=True)
class PairCell:
    """One reranker on labelled pairs.

    ``values`` has accuracy, f1, precision, recall, average_precision and the thresholds;
    ``curve`` the points (recall, precision) of the precision-recall curve. ``intervals`` are
    bootstrap confidence intervals [low, high] of the values.
    """

    __repr__ = bounded_repr

    collection: str
    split: str
    reranker: str
    n_pairs: int
    n_positive: int
    values: Mapping[str, float]
    curve: Sequence[tuple[float, float]]
    warnings: Sequence[str]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class StatisticsSettings(BaseModel):
    """How differences are tested.

    ``test`` is the paired test, with Holm's correction over all pairs of rankings of a collection
    at one depth; ``resamples`` are the permutations and the bootstrap samples.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    test: Literal["randomisation", "t-test"] = "randomisation"
    confidence: float = Field(default=0.95, gt=0, lt=1)
    resamples: int = Field(default=10_000, ge=100)
    seed: int = Field(default=42, ge=0)


@dataclass(frozen=True, slots=True)
class RerankerDeclaration:
    """How an experiment declares a reranker.

    ``model`` is the last part of the declared path or name, ``max_length`` the declared window in
    tokens (None: the model's own). ``fusion`` says whether the model's fusion is used.
    ``instruction`` is given to the model with every pair.
    """

    model: str
    dtype: str
    max_length: int | None
    fusion: bool
    instruction: Annotated[str | None, Field(exclude_if=lambda told: told is None)] = None


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """Everything that a report is made of.

    ``primary`` is the measure of ``measures`` that plots and the lists of queries show.
    ``sbert_at_k`` is the cut-off of sentence-transformers' figures. ``rerankers`` are by label.
    ``query_texts`` has the queries of each collection (its ``name/split``), ``qrels`` its
    judgements, and ``titles`` gives one line for each document id of a collection. Only the HTML
    page uses these, so the other files have no text of a collection.
    """

    __repr__ = bounded_repr

    name: str
    cells: Sequence[Cell]
    pair_cells: Sequence[PairCell]
    measures: Sequence[str]
    primary: str
    statistics: StatisticsSettings
    environment: Mapping[str, str]
    sbert_at_k: int
    rerankers: Mapping[str, RerankerDeclaration]
    query_texts: Mapping[str, Mapping[str, str]]
    qrels: Mapping[str, Qrels]
    titles: Callable[[str, Sequence[str]], Sequence[str]]
