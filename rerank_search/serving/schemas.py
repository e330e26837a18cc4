"""What requests and answers look like. Fields that are absent are left out of an answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StrictBool,
    WithJsonSchema,
    model_validator,
)

from rerank_search.arguments import document_id
from rerank_search.declared import did_you_mean
from rerank_search.models.registry import DEFAULT_ENCODER
from rerank_search.types import JsonValue, ReturnedText

FirstStage = Literal["bm25", "dense", "hybrid"]


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number, not true or false")
    return value


Item = TypeVar("Item")


class _FirstFault(FailFast):
    """Can be part of a union, for which Python wants a hash."""

    __hash__ = object.__hash__


Listed = Annotated[list[Item], _FirstFault()]
"""Of a million wrong items the first is told, and the others cost nothing."""

Id = Annotated[
    str,
    BeforeValidator(document_id),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]}),
]
"""Of a document; an integer becomes its digits, as in files."""

Count = Annotated[int, BeforeValidator(_not_bool)]
Number = Annotated[float, BeforeValidator(_not_bool)]


class _Ours(BaseModel):
    """A request of our own API: a key that is not known is an error, the first of them alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _knows_its_keys(cls, data: Any) -> Any:
        known = cls.model_fields
        unknown = (name for name in data if name not in known) if isinstance(data, dict) else ()
        if (name := next(iter(unknown), None)) is not None:
            raise ValueError(f"{name!r:.100} is unknown{did_you_mean(str(name), list(known))}")
        return data


class _Foreign(BaseModel):
    """A request of an API that others define: what we have no use for is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


# Searching


def _one_of(*choices: tuple[str, ...]) -> dict[str, Any]:
    """For a schema: one of these sets of fields, and null or nothing in the others."""
    every = {name for choice in choices for name in choice}
    return {
        "oneOf": [
            {
                "required": list(choice),
                "properties": {
                    name: {"not": {"type": "null"}} if name in choice else {"type": "null"}
                    for name in sorted(every)
                },
            }
            for choice in choices
        ]
    }


_NOT_BLANK: dict[str, Any] = {"pattern": r"\S"}
"""In a schema; what is said of a blank query is our own."""


class SearchRequest(_Ours):
    """One query or many, in one index."""

    model_config = ConfigDict(
        json_schema_extra={
            **_one_of(("query",), ("queries",)),
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
    """Its name; not needed where one index is served."""
    query: str | None = None
    queries: Listed[str] | None = Field(default=None, min_length=1)
    top_k: Count = Field(default=10, ge=1)
    candidates: Count = Field(default=100, ge=1)
    """What the first stage fetches, and the second one reranks."""
    first_stage: FirstStage | None = None
    """The best that the index has, unless said otherwise."""
    filter: dict[str, JsonValue] | None = None
    rerank: StrictBool = True
    """false excludes ``model``, ``budget_ms`` and ``min_relevance``."""
    model: str | None = None
    """A reranker of ``GET /v1/models``; the first, unless said otherwise."""
    budget_ms: Number | None = Field(default=None, gt=0)
    """Of the whole request: as many candidates are reranked as fit."""
    min_relevance: Number | None = Field(default=None, ge=0, le=1)
    return_documents: StrictBool = True
    text: ReturnedText = "full"
    """Of each document: all of its text, the best passage alone, or none of it."""
    explain: StrictBool = False
    """Also where each hit stood in the first stage, and that stage's own ranking."""

    @model_validator(mode="after")
    def _asks_one_way(self) -> SearchRequest:
        if (self.query is None) == (self.queries is None):
            raise ValueError("give one of query and queries")
        return self

    @model_validator(mode="after")
    def _reranks_if_it_says_how(self) -> SearchRequest:
        for name in () if self.rerank else ("model", "budget_ms", "min_relevance"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"rerank=false and {name} exclude each other: leave one of them out"
                )
        return self


class DocumentBody(_Ours):
    """A document; see ``rerank_search.Document``."""

    id: Id
    text: str
    title: str = ""
    metadata: dict[str, JsonValue] = {}


class FoundDocument(_Answer):
    """A document of a hit; its text is the best passage where the request asks for that."""

    text: str | None = None
    title: str = ""
    metadata: dict[str, JsonValue] = {}


class FoundHit(_Answer):
    """A hit; see ``rerank_search.Hit``."""

    id: str
    rank: int
    score: float
    relevance: float | None = None
    stage_scores: dict[str, float]
    span: tuple[int, int] | None = None
    first_stage_rank: int | None = None
    document: FoundDocument | None = None


class FirstStageHit(_Answer):
    """A line of the first stage's own ranking."""

    id: str
    rank: int
    score: float
    title: str = ""


class SearchResult(_Answer):
    """The ranking of one query; see ``rerank_search.SearchResponse``."""

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


class SearchAnswer(_Answer):
    """A result for each query, in their order."""

    index: str
    model: str | None = None
    results: list[SearchResult]
    warnings: list[str] | None = None
    """What the filter names and no document has, such as a misspelled key."""


# Indexes


class NewIndex(_Ours):
    """How an index is made; see ``rerank_search.Index.create``."""

    encoder: str | None = DEFAULT_ENCODER
    """null makes an index without vectors."""
    analyzer: Literal["english", "plain"] = "english"


class IndexAnswer(_Answer):
    """What an index holds."""

    name: str
    documents: int
    passages: int
    first_stages: list[str]
    encoder: str | None = None
    analyzer: str
    created: str


class IndexList(_Answer):
    """All indexes that are served, and of those that cannot be opened why not."""

    indexes: list[IndexAnswer]
    unavailable: dict[str, str] | None = None


class Upsert(_Ours):
    """Documents to insert, or to replace those of the same id."""

    documents: Listed[DocumentBody]


class LineError(_Answer):
    """A line of NDJSON that was not taken."""

    line: int
    error: str


class UpsertAnswer(_Answer):
    """How many documents are in the index now that were not, or were others.

    Of NDJSON, ``failed`` lines were not taken; the first of them are in ``errors``.
    """

    written: int
    failed: int = 0
    errors: list[LineError] = []


class DeleteRequest(_Ours):
    """Which documents to delete: those of these ids, or all that a filter allows."""

    model_config = ConfigDict(json_schema_extra=_one_of(("ids",), ("filter",)))

    ids: Listed[Id] | None = None
    filter: dict[str, JsonValue] | None = Field(
        default=None, json_schema_extra={"minProperties": 1}
    )

    @model_validator(mode="after")
    def _asks_one_way(self) -> DeleteRequest:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give one of ids and filter")
        if self.filter is not None and not self.filter:
            raise ValueError("an empty filter is every document: give their ids, if you mean it")
        return self


class DeleteAnswer(_Answer):
    """How many were deleted."""

    deleted: int
    warnings: list[str] | None = None
    """What the filter names and no document has, such as a misspelled key."""


class ModelAnswer(_Answer):
    """A reranker that is served."""

    id: str
    object: Literal["model"] = "model"
    owned_by: Literal["rerank-search"] = "rerank-search"
    max_length: int | None = None
    backend: str | None = None
    dtype: str | None = None


class ModelList(_Answer):
    """All rerankers that are served."""

    object: Literal["list"] = "list"
    data: list[ModelAnswer]


# Reranking


class TextBody(_Foreign):
    """A document as Jina's clients send it."""

    text: str


Text = Annotated[str | TextBody, Field(union_mode="smart")]


class _ListRequest(_Foreign):
    """Some clients name the list ``documents``, others ``texts``."""

    @model_validator(mode="before")
    @classmethod
    def _has_one_list(cls, data: Any) -> Any:
        names = ("documents", "texts")
        if isinstance(data, dict) and all(data.get(name) is not None for name in names):
            raise ValueError("give one of documents and texts")
        return data


class RerankRequest(_ListRequest):
    """What the clients of Cohere, Jina and vLLM send."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": "how is bread made",
                    "documents": ["Flour and water, baked.", "A film about trains."],
                    "top_n": 1,
                }
            ]
        }
    )

    model: str | None = None
    query: str = Field(json_schema_extra=_NOT_BLANK)
    documents: Listed[Text]
    top_n: Count | None = Field(default=None, ge=0)
    """How many results; null and 0 are all."""
    return_documents: StrictBool = False
    long_documents: Literal["truncate", "max_passage"] = "truncate"
    """Ours: cut what is longer than the model's window, or read all of it window by window."""


class TeiRequest(_ListRequest):
    """What the clients of text-embeddings-inference send."""

    query: str = Field(json_schema_extra=_NOT_BLANK)
    texts: Listed[str]
    truncate: StrictBool | None = None
    """false: a text that would be cut is an error."""
    raw_scores: StrictBool = False
    return_text: StrictBool = False


class ScoreRequest(_Foreign):
    """What vLLM's clients send: one text with one or many, or many with as many."""

    model_config = ConfigDict(
        json_schema_extra={
            **_one_of(("text_1", "text_2"), ("queries", "documents")),
            "examples": [
                {"text_1": "how is bread made", "text_2": ["Flour and water, baked.", "Trains."]}
            ],
        }
    )

    model: str | None = None
    text_1: str | Listed[str] | None = None
    text_2: str | Listed[str] | None = None
    queries: str | Listed[str] | None = None
    documents: str | Listed[str] | None = None

    @model_validator(mode="after")
    def _asks_one_way(self) -> ScoreRequest:
        one_with_many = [self.text_1 is not None, self.text_2 is not None]
        many_with_many = [self.queries is not None, self.documents is not None]
        given = sorted([one_with_many, many_with_many])
        if given != [[False, False], [True, True]]:
            raise ValueError("give text_1 and text_2, or queries and documents")
        return self


class RerankedDocument(_Answer):
    """The text of a result."""

    text: str


class RerankResult(_Answer):
    """A document by its place in the request; the score is in [0, 1]."""

    index: int
    relevance_score: float
    document: RerankedDocument | None = None


class RerankAnswer(_Answer):
    """Results by score, as Cohere's, Jina's and vLLM's clients read them."""

    id: str
    model: str
    results: list[RerankResult]
    meta: dict[str, Any]
    usage: dict[str, int]


class TeiResult(_Answer):
    """A text by its place in the request."""

    index: int
    score: float
    text: str | None = None


class ScoreResult(_Answer):
    """The score of a pair by its place."""

    index: int
    object: Literal["score"] = "score"
    score: float


class ScoreAnswer(_Answer):
    """Scores in the order of the pairs."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[ScoreResult]
    usage: dict[str, int]


# Errors


class ErrorFacts(_Answer):
    """What went wrong: ``type`` stays the same, ``message`` says what to do."""

    type: str
    message: str
    request_id: str | None = None
    param: str | None = None
    code: int | None = None


class ErrorAnswer(_Answer):
    """An error of our own API."""

    error: ErrorFacts


class RerankErrorAnswer(_Answer):
    """An error in the words of Cohere (``message``) and of vLLM (``error``)."""

    message: str
    error: ErrorFacts
    request_id: str


class TeiErrorAnswer(_Answer):
    """An error in the words of text-embeddings-inference."""

    error: str
    error_type: str
    request_id: str
