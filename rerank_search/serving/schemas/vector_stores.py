"""The bodies of OpenAI's vector stores, as far as they concern searching.

https://platform.openai.com/docs/api-reference/vector-stores
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    model_validator,
)

from rerank_search.serving.schemas.base import (
    Answer,
    Count,
    ForeignRequest,
    InWords,
    Listed,
    Number,
    tag,
)
from rerank_search.shown import shown
from rerank_search.types import Filter

Scalar: TypeAlias = StrictStr | StrictInt | StrictFloat | StrictBool

_OPERATORS = {
    "eq": "$eq",
    "ne": "$ne",
    "gt": "$gt",
    "gte": "$gte",
    "lt": "$lt",
    "lte": "$lte",
    "in": "$in",
    "nin": "$nin",
}
_WORDS = ("and", "or")


class ComparisonFilter(BaseModel):
    """A condition on one attribute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str
    value: Annotated[
        Scalar | Listed[Scalar], InWords("a string, a number, true, false, or a list of these")
    ]

    @model_validator(mode="before")
    @classmethod
    def _known_type(cls, data: Any) -> Any:
        if isinstance(data, dict) and (kind := data.get("type")) not in [*_OPERATORS]:
            known = ", ".join([*_OPERATORS, *_WORDS])
            raise ValueError(f"the type {shown(kind)} is unknown: use one of {known}")
        return data

    def translated(self) -> Filter:
        """The same condition as a filter of this library."""
        return {self.key: {_OPERATORS[self.type]: self.value}}


class CompoundFilter(BaseModel):
    """Several conditions, of which all or any must be met."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["and", "or"]
    filters: Annotated[Listed[AttributeFilter], Field(min_length=1)]

    def translated(self) -> Filter:
        """The same conditions as a filter of this library."""
        return {f"${self.type}": [each.translated() for each in self.filters]}


_COMPARISON, _COMPOUND = tag("comparison"), tag("compound")


def _kind_of(given: Any) -> str:
    """Which filter this is; a comparison refuses what is neither."""
    compound = isinstance(given, dict) and given.get("type") in _WORDS
    return _COMPOUND if compound else _COMPARISON


AttributeFilter: TypeAlias = Annotated[
    Annotated[ComparisonFilter, Tag(_COMPARISON)] | Annotated[CompoundFilter, Tag(_COMPOUND)],
    Discriminator(_kind_of),
]


class RankingOptions(BaseModel):
    """Whether to rerank, by which reranker, and the least score of a result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    without_reranking: ClassVar[str] = "none"
    default: ClassVar[frozenset[str]] = frozenset(
        {"auto", "default-2024-11-15", "default_2024_08_21"}
    )
    """Names that stand for the server's first reranker."""

    ranker: str | None = None
    score_threshold: Annotated[Number, Field(ge=0, le=1)] | None = None


class VectorStoreSearchRequest(ForeignRequest):
    """One query or many, in one index; the best results of all queries are returned."""

    query: Annotated[
        str | Annotated[Listed[str], Field(min_length=1)],
        InWords("a string, or a list of at least one string"),
    ]
    filters: AttributeFilter | None = None
    max_num_results: Annotated[Count, Field(ge=1, le=50)] | None = None
    ranking_options: RankingOptions | None = None
    rewrite_query: StrictBool | None = None
    """Not supported: only false."""

    @property
    def queries(self) -> list[str]:
        """The queries, or the one query."""
        return [self.query] if isinstance(self.query, str) else self.query


class TextContent(Answer):
    """A passage of a result."""

    type: Literal["text"] = "text"
    text: str


class VectorStoreResult(Answer):
    """A document; ``file_id`` is its id, and ``attributes`` its metadata."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | int | float | bool]
    content: list[TextContent]


class VectorStoreResults(Answer):
    """The results of a search, the best first; there is only one page."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: str | list[str]
    data: list[VectorStoreResult]
    has_more: bool = False
    next_page: str | None = None


class FileCounts(Answer):
    """Numbers of documents; all of them are always searchable."""

    in_progress: int = 0
    completed: int
    failed: int = 0
    cancelled: int = 0
    total: int


class VectorStore(Answer):
    """An index; its id is its name."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["completed"] = "completed"
    metadata: dict[str, str] = Field(default={})


class VectorStorePage(BaseModel):
    """The part of the list that is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=20, ge=1, le=100)
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    before: str | None = None


class VectorStoreList(Answer):
    """Indexes by the time of their creation."""

    object: Literal["list"] = "list"
    data: list[VectorStore]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool
