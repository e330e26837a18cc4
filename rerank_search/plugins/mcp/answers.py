"""The answers of the tools: their schemas, and how they are sent."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from rerank_search.types import JsonValue


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


_ABSENT = Field(default=None, json_schema_extra=_without_default)
"""A field that is left out of an answer that has no value for it."""


class ToolAnswer(BaseModel):
    """The answer of a tool. Fields without a value are left out: some clients refuse null."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


def sent(answer: ToolAnswer) -> CallToolResult:
    """The answer as structured content, and as one text with the same JSON."""
    content = answer.model_dump(mode="json", exclude_none=True)
    text = answer.model_dump_json(exclude_none=True)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=content)


class Found(ToolAnswer):
    """A document that was found."""

    id: str
    """The id for `fetch`."""
    title: str
    url: str


class FoundDocuments(ToolAnswer):
    """Documents, the most relevant first."""

    results: list[Found]


class WholeDocument(ToolAnswer):
    """A document with all of its text."""

    id: str
    title: str
    text: str
    url: str
    metadata: dict[str, JsonValue] | SkipJsonSchema[None] = _ABSENT


class Excerpt(ToolAnswer):
    """A passage of a document, with the text around it."""

    before: str
    """The text just before the passage."""
    passage: str
    """The passage; of a document without passages its beginning, without text its title."""
    after: str
    """The text just after the passage."""
    span: Annotated[list[int], Field(min_length=2, max_length=2)]
    """Where the passage starts and ends in the document's text, in characters."""


class PassageHit(Excerpt):
    """A document that was found, with the passage that fits the query best."""

    id: str
    """The id for `fetch`."""
    title: str
    url: str
    score: float
    relevance: float | SkipJsonSchema[None] = _ABSENT
    """The probability that the document is relevant."""
    further: list[Excerpt] | SkipJsonSchema[None] = _ABSENT
    """Its other passages, the best first, if more than one was asked for."""
    duplicates: list[str] | SkipJsonSchema[None] = _ABSENT
    """Ids of documents with nearly the same passage, which are left out."""
    metadata: dict[str, JsonValue] | SkipJsonSchema[None] = _ABSENT


class Citation(ToolAnswer):
    """A document in a context, and its number there."""

    number: int
    id: str
    """The id for `fetch`."""
    title: str
    url: str


class Passages(ToolAnswer):
    """Passages, the most relevant first; or one text with the best of them, the context."""

    hits: list[PassageHit]
    context: str | SkipJsonSchema[None] = _ABSENT
    """The passages as one text, if `tokens` was given; `hits` is empty then."""
    citations: list[Citation] | SkipJsonSchema[None] = _ABSENT
    """The documents of the context."""
    reranked: bool
    """Whether the second stage has ordered the hits."""
    warnings: list[str] | SkipJsonSchema[None] = _ABSENT
    """What may be wrong with the answer, such as a metadata key that no document has."""


class IndexDescription(ToolAnswer):
    """What an index holds."""

    name: str
    documents: int
    first_stages: list[str]
    """The first stages that `search_passages` can use, the best last."""
    examples: list[str]
    """Titles of a few documents."""
    metadata: dict[str, JsonValue]
    """Keys that filters can name, each with the value of some document."""


class Indexes(ToolAnswer):
    """The indexes that can be searched."""

    indexes: list[IndexDescription]
    unavailable: dict[str, str] | SkipJsonSchema[None] = _ABSENT
    """Indexes that cannot be opened, and why."""


class RankedText(ToolAnswer):
    """A text by its place in the list that was given, counted from 0."""

    index: int
    relevance: float
    """How relevant the text is, from 0 to 1."""


class RankedTexts(ToolAnswer):
    """Texts, the most relevant first."""

    results: list[RankedText]
    truncated: int | SkipJsonSchema[None] = _ABSENT
    """How many texts were too long to be read to their end."""


class Written(ToolAnswer):
    """Documents that were stored."""

    written: int
    """How many are new or changed."""
    ids: list[str]
    """The ids of all of them, for `fetch` and `delete_documents`."""


class Deleted(ToolAnswer):
    """Documents that were deleted."""

    deleted: int
