"""The bodies of requests and answers about indexes and their documents."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from rerank_search.arguments import document_id
from rerank_search.built_in_stages import NEW_HYBRID
from rerank_search.models.registry import AUTO
from rerank_search.queries import check_text
from rerank_search.retrieval.analysis import AnalyzerName
from rerank_search.serving.schemas.base import (
    Answer,
    Count,
    Id,
    InWords,
    Listed,
    OwnRequest,
    Vector,
    one_of,
)
from rerank_search.types import HybridName, JsonValue, VectorDtype


class NewIndex(OwnRequest):
    """How an index is made; see ``rerank_search.Index.create``."""

    encoder: str | None = AUTO
    """The model for the vectors; null makes an index without vectors, or of your own."""
    dimension: Count | None = Field(default=None, ge=1)
    """How many numbers your own vectors have, with null as encoder; documents bring theirs."""
    query_prompt: str | None = None
    """The prompt before queries, in place of the model's own; "" means none."""
    document_prompt: str | None = None
    """The prompt before documents, in place of the model's own; "" means none."""
    truncate_dim: Count | None = Field(default=None, ge=1)
    """Numbers kept of each vector, for models that are trained for that (Matryoshka)."""
    sparse_encoder: str | None = None
    """The model for sparse vectors, such as SPLADE; it adds the first stage "sparse"."""
    vector_dtype: VectorDtype = "float32"
    """How vectors are stored: "float16" takes half the memory, "int8" a quarter."""
    analyzer: AnalyzerName = "english"
    """How BM25 finds words: in which language, "multilingual" for any, or "code"."""
    stop_words: (
        Annotated[Literal["language"] | Listed[str], InWords('"language", or a list of words')]
        | None
    ) = None
    """Words that BM25 leaves out of queries; "language" means the analyzer's own list."""
    hybrid: HybridName = NEW_HYBRID
    """How BM25 and the vectors are combined: by their "scores", or by reciprocal ranks ("rrf")."""
    first_stages: Listed[str] = Field(default=[])
    """First stages besides bm25, dense and hybrid, which installed packages add."""


class IndexAnswer(Answer):
    """What an index holds, or a store, which has its documents whole, each as one passage."""

    name: str
    store: str | None = None
    """The kind of the store, such as "postgresql"; missing for an index."""
    documents: int
    passages: int
    first_stages: list[str]
    encoder: str | None = None
    dimension: int | None = None
    """The length of your own vectors, in an index that has them."""
    analyzer: str | None = None
    """How BM25 finds words; missing for a store."""
    stop_words: str | list[str] | None = None
    """Words that BM25 leaves out of queries; "language" means the analyzer's own list."""
    fused_stages: list[str] | None = None
    """The first stages whose scores a fusion weighs, if these are not all."""
    languages: dict[str, int] | None = None
    """Documents of a sample by the ISO 639-1 code of their language, where it is known."""
    hybrid: str | None = None
    """How BM25 and the vectors are combined, in an index that has vectors."""
    created: str | None = None
    """When the index was made; missing for a store."""


class DropAnswer(Answer):
    """The name of the index that was deleted."""

    dropped: str


class IndexList(Answer):
    """All indexes that are served, and why some of them cannot be opened."""

    indexes: list[IndexAnswer]
    unavailable: dict[str, str] | None = None


class DocumentBody(OwnRequest):
    """A document; see ``rerank_search.Document``."""

    id: Id
    text: str
    title: str = ""
    metadata: dict[str, JsonValue] = Field(default={})
    vector: Vector | None = None
    """Its vector, in an index of your own vectors."""


class Upsert(OwnRequest):
    """Documents to insert, or to replace those with the same id."""

    documents: Listed[DocumentBody]


class LineError(Answer):
    """An invalid line of NDJSON, which was skipped."""

    line: int
    error: str


class UpsertAnswer(Answer):
    """How many documents are new or changed.

    Of NDJSON, ``failed`` counts the invalid lines; the first of them are in ``errors``.
    """

    written: int
    failed: int = 0
    errors: list[LineError] = Field(default=[])


class DeleteRequest(OwnRequest):
    """Which documents to delete: those with these ids, or all that a filter allows."""

    model_config = ConfigDict(json_schema_extra=one_of(("ids",), ("filter",)))

    ids: Listed[Id] | None = None
    filter: dict[str, JsonValue] | None = Field(
        default=None, json_schema_extra={"minProperties": 1}
    )

    @model_validator(mode="after")
    def _either_ids_or_a_filter(self) -> DeleteRequest:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give one of ids and filter")
        if self.filter is not None and not self.filter:
            raise ValueError(
                "an empty filter would delete every document: give the ids if you want that"
            )
        return self


class DeleteAnswer(Answer):
    """How many documents were deleted."""

    deleted: int
    warnings: list[str] | None = None
    """Parts of the filter that no document has, such as a misspelled key."""


SoughtId = Annotated[
    str,
    BeforeValidator(document_id),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
]
"""What ids are compared with; unlike the id of a document it may be empty."""


class FindRequest(OwnRequest):
    """Documents to return, ascending by id: all, those with these ids, or those of a filter."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"properties": {name: {"type": "null"}}} for name in ("ids", "filter")],
            "examples": [{"filter": {"module": "os"}, "limit": 20}, {"ids": ["a", "b"]}],
        }
    )

    ids: Listed[SoughtId] | None = None
    filter: dict[str, JsonValue] | None = None
    after: SoughtId | None = None
    """Only documents with ids above this one, by code point: the ``next`` of the page before."""
    limit: Count = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _not_ids_and_a_filter(self) -> FindRequest:
        if self.ids is not None and self.filter is not None:
            raise ValueError("give one of ids and filter, or none for all documents")
        if self.after is not None:
            check_text(self.after, "after")
        return self


class DocumentAnswer(Answer):
    """A document; see ``rerank_search.Document``."""

    id: str
    text: str
    title: str
    metadata: dict[str, JsonValue]


class FindAnswer(Answer):
    """A page of documents, ascending by id."""

    documents: list[DocumentAnswer]
    next: str | None = None
    """The last id of the page, to be sent as ``after``; missing if there are no more documents."""
    warnings: list[str] | None = None
    """Parts of the filter that no document has, such as a misspelled key."""


class MatchesRequest(OwnRequest):
    """A query, and texts in which its words are looked for; see ``Index.matches``."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": "join paths", "texts": ["Joins two paths."]}]}
    )

    query: str
    texts: Listed[str]


class MatchesAnswer(Answer):
    """The spans of the words in each text, in the order of the texts."""

    matches: list[list[tuple[int, int]]]


UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["documents"],
                    "additionalProperties": False,
                    "properties": {
                        "documents": {"type": "array", "items": DocumentBody.model_json_schema()}
                    },
                },
                "example": {"documents": [{"id": "a", "text": "Bread is baked from flour."}]},
            },
            "application/x-ndjson": {
                "schema": {
                    "type": "string",
                    "description": "One document a line, as in `documents`. The id may also be "
                    "called `_id`, and other keys are metadata (`vector` too, unless the "
                    "index has vectors of your own).",
                },
            },
        },
    }
}
"""The OpenAPI description of an upload, whose body the route reads itself."""
