"""The bodies of a search and its answer."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    create_model,
    model_validator,
)

from rerank_search.options import OPTIONS, TYPES, SearchOptions
from rerank_search.retrieval.stage_name import SearchedStageName
from rerank_search.serving.schemas.base import (
    Answer,
    Listed,
    OwnRequest,
    Vector,
    json_type,
    one_of,
)
from rerank_search.types import JsonValue, ReturnedText
from rerank_search.vectors import EncodedQuery

Model = TypeVar("Model", bound=BaseModel)


def with_search_options(model: type[Model]) -> type[Model]:
    """The model with a field for each search option, with its default, help and bounds."""
    added: dict[str, Any] = {}
    for each in fields(SearchOptions):
        option = OPTIONS[each.name]
        bounds = {name: getattr(option, name) for name in ("ge", "gt", "le")}
        given = {name: bound for name, bound in bounds.items() if bound is not None}
        is_stage = each.name == "first_stage"
        kind = SearchedStageName | None if is_stage else json_type(TYPES[each.name])
        added[each.name] = (kind, Field(each.default, description=option.help, **given))
    return create_model(
        model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **added
    )


@with_search_options
class SearchRequest(OwnRequest):
    """One query or many, in one index."""

    model_config = ConfigDict(
        json_schema_extra={
            **one_of(("query",), ("queries",)),
            "examples": [
                {"index": "python-docs", "query": "how do I join two paths", "top_k": 3},
                {
                    "index": "python-docs",
                    "queries": ["read a file", "copy a folder"],
                    "filter": {"module": {"$in": ["os", "shutil"]}},
                },
            ],
        }
    )

    index: str | None = None
    """The name of the index; not needed if only one index is served."""
    query: str | None = None
    queries: Listed[str] | None = Field(default=None, min_length=1)
    query_vectors: Listed[Vector] | None = None
    """The vectors of ``queries``, one each, for an index of your own vectors."""
    model: str | None = None
    """One of the rerankers of ``GET /v1/models``; by default the first."""
    return_documents: StrictBool = True
    text: ReturnedText = "full"
    """What is returned of each document's text: all of it, the best passage, or nothing."""
    stage_scores: StrictBool = False
    """Whether each hit has its score in every first stage, also if the ranking needs none."""
    matches: StrictBool = False
    """Whether to say where the words stand by which BM25 finds each title and text."""
    explain: StrictBool = False
    """Whether to return the first stage's ranking too, and each hit's rank in it."""

    @property
    def options(self) -> SearchOptions:
        """The search options. Raises InvalidInputError for ones that exclude each other."""
        return SearchOptions(**{name: getattr(self, name) for name in OPTIONS})

    @property
    def every_query(self) -> list[str]:
        """The queries, with their vectors if they have some, or the one query.

        Raises InvalidInputError for a vector that cannot be used.
        """
        if self.query is not None:
            return [self.query]
        queries = self.queries or []
        if self.query_vectors is None:
            return queries
        return [*map(EncodedQuery, queries, self.query_vectors)]

    @model_validator(mode="after")
    def _either_one_query_or_many(self) -> SearchRequest:
        if (self.query is None) == (self.queries is None):
            raise ValueError("give one of query and queries")
        if self.query_vectors is not None and len(self.query_vectors) != len(self.queries or ()):
            raise ValueError(
                f"query_vectors has {len(self.query_vectors)} vectors for "
                f"{len(self.queries or ())} queries: give one each (query_vector goes with query)"
            )
        return self

    @model_validator(mode="after")
    def _reranking_options_only_with_reranking(self) -> SearchRequest:
        given = {name: getattr(self, name) for name in OPTIONS}
        if not given.pop("rerank"):
            SearchOptions(**given).check_without_reranker("rerank=false", model=self.model)
        return self


class FoundDocument(Answer):
    """The document of a hit; its text is the best passage if the request asks for that."""

    text: str | None = None
    title: str = ""
    metadata: dict[str, JsonValue] = Field(default={})


class FoundPassage(Answer):
    """One of a hit's best passages; see ``rerank_search.types.FoundPassage``."""

    span: tuple[int, int] | None = None
    score: float
    text: str | None = None
    relevance: float | None = None


class FoundMatches(Answer):
    """Spans of words in a hit's title and text, as they are returned; see ``Index.matches``."""

    title: list[tuple[int, int]]
    text: list[tuple[int, int]]


class FoundHit(Answer):
    """A hit; see ``rerank_search.Hit``."""

    id: str
    rank: int
    score: float
    relevance: float | None = None
    stage_scores: dict[str, float]
    span: tuple[int, int] | None = None
    first_stage_rank: int | None = None
    document: FoundDocument | None = None
    matches: FoundMatches | None = None
    passages: list[FoundPassage] | None = None
    duplicates: list[str] | None = None


class FirstStageHit(Answer):
    """A hit in the first stage's ranking."""

    id: str
    rank: int
    score: float
    title: str = ""


class SearchResult(Answer):
    """The ranking for one query; see ``rerank_search.SearchResponse``."""

    query: str
    hits: list[FoundHit]
    first_stage: str
    candidates: int
    reranked: bool
    reranked_count: int
    truncated: int
    timings: dict[str, float]
    degraded: str | None = None
    first_stage_hits: list[FirstStageHit] | None = None


class SearchAnswer(Answer):
    """A result for each query, in the order of the queries."""

    index: str
    model: str | None = None
    results: list[SearchResult]
    warnings: list[str] | None = None
    """Parts of the filter that no document has, such as a misspelled key."""
