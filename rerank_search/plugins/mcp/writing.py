"""The tools that write: adding documents and deleting them."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.types import CallToolResult
from pydantic import BaseModel, ConfigDict, Field

from rerank_search.plugins.mcp.access import check_write
from rerank_search.plugins.mcp.answers import Deleted, Written, sent
from rerank_search.plugins.mcp.links import parts_of, public_id
from rerank_search.plugins.mcp.offer import Offer
from rerank_search.plugins.mcp.tool import WRITES, OwnTool, own_tool
from rerank_search.types import Document, JsonValue

Called = Context[Any, Any]


class NewDocument(BaseModel):
    """A document to store."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    id: str = Field(min_length=1)
    """Its id in the index, any text; a document with this id is replaced."""
    text: str
    title: str = ""
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    """Facts that filters can ask for; `url` is where people find the document."""


class WritingTools:
    """The tools that write. Their docstrings are what models read."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def tools(self) -> list[OwnTool]:
        """The tools."""
        return [
            own_tool(self.add_documents, "Store documents", WRITES),
            own_tool(self.delete_documents, "Delete documents", WRITES),
        ]

    async def add_documents(
        self,
        index: Annotated[str, Field(description="The name of the index, as list_indexes shows.")],
        documents: list[NewDocument],
        context: Called,
    ) -> Annotated[CallToolResult, Written]:
        """Store documents in an index, or replace those with the same ids.

        Searches find them at once.
        """
        check_write(context.request_context)
        given = [Document(each.id, each.text, each.title, each.metadata) for each in documents]
        written = await self._offer.threads.write(partial(self._offer.add, index, given))
        return sent(Written(written=written, ids=[public_id(index, each.id) for each in documents]))

    async def delete_documents(
        self,
        ids: Annotated[list[str], Field(description="Ids of documents, such as notes/a.")],
        context: Called,
    ) -> Annotated[CallToolResult, Deleted]:
        """Delete documents for good, by ids that a search or add_documents returned.

        Unknown ids delete nothing.
        """
        check_write(context.request_context)
        by_index: dict[str, list[str]] = {}
        for public in ids:
            index, id = parts_of(public)
            by_index.setdefault(index, []).append(id)

        deleted = await self._offer.threads.write(partial(self._offer.delete, by_index))
        return sent(Deleted(deleted=deleted))
