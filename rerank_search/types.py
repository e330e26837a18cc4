"""The data model: what goes in (Document), and what comes out (Hit, SearchResponse)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from rerank_search.shown import bounded_repr, described, shown

JsonValue: TypeAlias = Any
"""A JSON value: str, int, float, bool, None, or lists and mappings of these."""

Filter: TypeAlias = Mapping[str, JsonValue]
"""A metadata filter, such as ``{"module": "os"}`` or ``{"year": {"$gte": 2020}}``."""

Span: TypeAlias = tuple[int, int]
"""Start and end of a passage, in characters of ``Document.text``; the end is exclusive."""

VectorDtype: TypeAlias = Literal["float32", "float16", "int8"]
"""The type of the numbers of stored vectors; "int8" are codes of 8 bits."""

HybridName: TypeAlias = Literal["scores", "rrf"]
"""The way in which ``hybrid`` combines two rankings: by their scores, or by reciprocal ranks."""

ReturnedText: TypeAlias = Literal["full", "passage", "none"]
"""The part of a hit's text that is returned: all of it, its best passage, or nothing."""

HITS_SHOWN = 10
"""Number of hits that the repr of a response shows."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text that can be searched.

    ``id`` is any non-empty string; ids that differ in case or in Unicode normalisation are
    different ids. ``title`` is searched with the text. ``metadata`` is for filters and is
    returned unchanged.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)

    __repr__ = bounded_repr


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """One passage of a hit's document.

    ``span`` is its place in the document's text, None for all of it, and ``text`` what stands
    there. ``score`` and ``relevance`` are in the unit of the hit's own.
    """

    span: Span | None
    score: float
    text: str = ""
    relevance: float | None = None

    __repr__ = bounded_repr


@dataclass(frozen=True, slots=True)
class Hit:
    """One document of a ranking.

    ``score`` orders the ranking (higher is better; ties by id, ascending); ``rank`` counts
    from 1. ``stage_scores`` has the score of each stage in its own unit: ``bm25`` (BM25), ``dense``
    (cosine), ``hybrid`` (the two combined), ``rerank`` (raw logit), ``fused`` (log-odds). ``span``
    is the best passage, or None for a document that was not split. ``relevance`` is the probability
    that the document is relevant, in [0, 1], if the score is calibrated, else None.

    ``passages`` are the best passages, the best first, if the search asked for more than one of a
    document (``passages_per_document``). ``duplicates`` are the ids of documents with nearly the
    same passage that are left out for this one (``collapse_duplicates``), the best first.
    """

    id: str
    score: float
    rank: int
    document: Document | None = None
    stage_scores: Mapping[str, float] = field(default_factory=dict)
    span: Span | None = None
    relevance: float | None = None
    passages: Sequence[FoundPassage] = ()
    duplicates: Sequence[str] = ()

    @property
    def text(self) -> str | None:
        """The text that was found: the best passage, or all of a document that was not split.

        It is the title if the passage has no text of its own; None for a hit without its document.
        """
        if self.document is None:
            return None
        return _passage(self.document, self.span) or self.document.title

    def with_text(self, which: ReturnedText) -> Hit:
        """The hit with all of its document's text, the best passage only, or none of it.

        ``span`` stays, and ``text`` gives the same result with all of the text or the passage.
        ``passages`` keep their text unless there is to be none.
        """
        if self.document is None or which == "full":
            return self
        text = _passage(self.document, self.span) if which == "passage" else ""
        passages = self.passages
        if which == "none":
            passages = tuple(replace(each, text="") for each in passages)
        return replace(self, document=replace(self.document, text=text), passages=passages)

    __repr__ = bounded_repr


@dataclass(frozen=True, slots=True)
class SearchResponse:
    """The ranking of one query, with counts, timings and warnings.

    ``candidates`` counts the documents that the first stage returned, ``reranked_count`` how many
    of them the reranker scored, ``truncated`` how many of those were cut to fit its window.
    ``timings`` are milliseconds per stage, with ``total``. If reranking failed, ``reranked`` is
    False and ``degraded`` has the reason. ``warnings`` name keys and kinds of values in the filter
    that no document has, such as a misspelled key.
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

    def __repr__(self) -> str:
        """The fields in a line, and below it a line for each of the first hits."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["hits"]
        lines = [f"\n  {_line(hit)}" for hit in self.hits[:HITS_SHOWN]]
        if more := len(self.hits) - len(lines):
            lines.append(f"\n  and {more:,} more")
        return f"{described('SearchResponse', **fields)[:-1]}, hits=[{''.join(lines)}])"


@dataclass(frozen=True, slots=True)
class ExplainedResponse:
    """A response, and the ranking of its first stage.

    ``first_stage_hits`` are all candidates, the best first, with the first stage's scores. They
    include those that ``top_k`` and ``min_relevance`` left out of the response.
    """

    response: SearchResponse
    first_stage_hits: Sequence[Hit]

    @property
    def first_stage_ranks(self) -> Mapping[str, int]:
        """The rank of each candidate in the first stage, counted from 1, by its id."""
        return {hit.id: rank for rank, hit in enumerate(self.first_stage_hits, start=1)}


def _passage(document: Document, span: Span | None) -> str:
    """The passage of a document; its text may already be just this passage."""
    if span is None or len(document.text) == span[1] - span[0]:
        return document.text
    return document.text[slice(*span)]


def _line(hit: Hit) -> str:
    text = " ".join((hit.text or "")[:200].split())
    return f"{hit.rank}. {shown(hit.id, 30)} {hit.score:.3f} {shown(text[:50], 50)}"
