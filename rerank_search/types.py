"""The data model: what goes in (Document), and what comes out (Hit, SearchResponse)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

JsonValue: TypeAlias = Any
"""str, int, float, bool, None, or lists and mappings of these."""

Filter: TypeAlias = Mapping[str, JsonValue]
"""A metadata filter, such as ``{"module": "os"}`` or ``{"year": {"$gte": 2020}}``."""

Span: TypeAlias = tuple[int, int]
"""Start and end of a passage, in characters of ``Document.text``; the end is exclusive."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text to be found.

    ``id`` is any non-empty string; ids that differ in case or in Unicode normalisation are
    different ids. ``title`` is searched with the text. ``metadata`` is for filters and is
    returned unchanged.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """One document of a ranking.

    ``score`` orders the ranking (higher is better; ties by id, ascending); ``rank`` counts
    from 1. ``stage_scores`` says where the score comes from, in the unit of each stage: ``bm25``
    (BM25), ``dense`` (cosine), ``hybrid`` (the two combined), ``rerank`` (raw logit), ``fused``
    (log-odds). ``span`` is the best passage, or None for a document that was not split.
    ``relevance`` is the probability that the document is relevant, in [0, 1], where the score is
    calibrated, else None.
    """

    id: str
    score: float
    rank: int
    document: Document | None = None
    stage_scores: Mapping[str, float] = field(default_factory=dict)
    span: Span | None = None
    relevance: float | None = None


@dataclass(frozen=True, slots=True)
class SearchResponse:
    """The ranking of one query, and what it took.

    ``candidates`` counts what the first stage returned, ``reranked_count`` how many of them the
    reranker scored, ``truncated`` how many of those were cut to fit its window. ``timings`` are
    milliseconds per stage, with ``total``. A response that should have been reranked and was
    not has ``reranked`` False and says why in ``degraded``. ``warnings`` name what the filter asks
    for and no document has, such as a misspelled key.
    """

    query: str
    hits: Sequence[Hit]
    first_stage: str
    candidates: int
    reranked: bool
    reranked_count: int = 0
    truncated: int = 0
    timings: Mapping[str, float] = field(default_factory=dict)
    degraded: str | None = None
    warnings: Sequence[str] = ()
