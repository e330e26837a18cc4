"""The tools that read: searches, whole documents, the indexes that there are, reranking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from mcp.types import CallToolResult
from pydantic import Field

from rerank_search.errors import RerankSearchError
from rerank_search.options import OPTIONS, SearchOptions
from rerank_search.plugins.mcp import catalog
from rerank_search.plugins.mcp.answers import (
    Found,
    FoundDocuments,
    Indexes,
    PassageHit,
    Passages,
    RankedText,
    RankedTexts,
    ToolAnswer,
    WholeDocument,
    sent,
)
from rerank_search.plugins.mcp.links import Links, public_id
from rerank_search.plugins.mcp.tool import READS, OwnTool, own_tool
from rerank_search.serving.errors import api_error
from rerank_search.serving.ongoing import OngoingSearch
from rerank_search.serving.reranking import best_first, submitted
from rerank_search.serving.schemas.search import FoundHit
from rerank_search.serving.service import Service
from rerank_search.types import Document, JsonValue

Query = Annotated[
    str,
    Field(description="What to look for, as a question or in plain words, not only key words."),
]

MOST_HITS = 100
"""Largest number of passages in an answer, which a model has to read."""

NEIGHBOURHOOD = 300
"""Characters shown before and after a passage by default."""


class ReadingTools:
    """The tools that read, for one service. Their docstrings are what models read."""

    def __init__(self, service: Service, links: Links) -> None:
        self._service = service
        self._links = links

    def tools(self) -> list[OwnTool]:
        """The tools, the ones first that are used most."""
        return [
            own_tool(self.search, "Search documents", READS),
            own_tool(self.fetch, "Read a document", READS),
            own_tool(self.search_passages, "Search passages", READS),
            own_tool(self.list_indexes, "List the indexes", READS),
            own_tool(self.rerank, "Rank texts", READS),
        ]

    async def search(self, query: Query) -> Annotated[CallToolResult, FoundDocuments]:
        """Search the documents for a question, and get the ten most relevant: id, title and URL.

        Read the ones that look right with fetch, and cite their URLs. To read the relevant passages
        at once, or to search by metadata, use search_passages instead.
        """
        return await self._searched(
            "",
            query,
            {"top_k": SearchOptions.top_k},
            lambda found: FoundDocuments(results=[self._link(*each) for each in found.hits]),
        )

    async def fetch(
        self,
        id: Annotated[str, Field(description="An id that search or search_passages returned.")],
    ) -> Annotated[CallToolResult, WholeDocument]:
        """Read the whole text of a document, by an id that a search returned."""

        def read() -> CallToolResult:
            name, document = catalog.document(self._service, id)
            return sent(
                WholeDocument(
                    id=id,
                    title=catalog.title(document),
                    text=document.text,
                    url=self._links.url(name, document),
                    metadata=dict(document.metadata) or None,
                )
            )

        return await self._service.threads.read_unless_cancelled(read)

    async def search_passages(
        self,
        query: Query,
        filter: Annotated[
            dict[str, JsonValue],
            Field(
                default_factory=dict,
                description='Metadata that documents must have, such as {"lang": "en"} or '
                '{"year": {"$gte": 2020}}. list_indexes shows the keys.',
            ),
        ],
        index: Annotated[
            str, Field(description="The name of the only index to search; empty searches all.")
        ] = "",
        top_k: Annotated[
            int, Field(ge=OPTIONS["top_k"].ge, le=MOST_HITS, description=OPTIONS["top_k"].help)
        ] = SearchOptions.top_k,
        candidates: Annotated[
            int, Field(ge=OPTIONS["candidates"].ge, description=OPTIONS["candidates"].help)
        ] = SearchOptions.candidates,
        first_stage: Annotated[
            str,
            Field(
                description="The first stage that fetches the candidates, such as bm25 for exact "
                "words; empty is the best that the index has."
            ),
        ] = "",
        rerank: Annotated[bool, Field(description=OPTIONS["rerank"].help)] = True,
        min_relevance: Annotated[
            float,
            Field(
                ge=OPTIONS["min_relevance"].ge,
                le=OPTIONS["min_relevance"].le,
                description="Leave out documents that are less likely to be relevant; 0 leaves "
                "out none.",
            ),
        ] = 0.0,
        neighbourhood: Annotated[
            int,
            Field(ge=0, le=2_000, description="Characters to show before and after each passage."),
        ] = NEIGHBOURHOOD,
    ) -> Annotated[CallToolResult, Passages]:
        """Search the documents for a question, and get the passages that answer it.

        The text around each passage comes with it: usually enough for an answer without fetch. Can
        search one index only, by metadata (filter), and leave out passages that are not relevant
        enough (min_relevance).
        """
        options = {
            "top_k": top_k,
            "candidates": candidates,
            "first_stage": first_stage or None,
            "filter": filter or None,
            "rerank": rerank,
            "min_relevance": min_relevance or None,
        }
        return await self._searched(
            index,
            query,
            options,
            lambda found: Passages(
                hits=[self._passage(*each, neighbourhood) for each in found.hits],
                reranked=found.reranked,
                warnings=list(found.warnings) or None,
            ),
        )

    async def list_indexes(self) -> Annotated[CallToolResult, Indexes]:
        """List the indexes: how many documents each has, titles of a few, and metadata keys.

        Call it before search_passages with a filter or an index.
        """

        def described() -> CallToolResult:
            listed, unavailable = [], {}
            for name in self._service.indexes.names():
                try:
                    with self._service.indexes.use(name) as index:
                        listed.append(catalog.description(name, index))
                except RerankSearchError as error:
                    unavailable[name] = str(api_error(error))
            return sent(Indexes(indexes=listed, unavailable=unavailable or None))

        return await self._service.threads.read_unless_cancelled(described)

    async def rerank(
        self,
        query: Query,
        texts: Annotated[list[str], Field(description="The texts to rank.")],
        top_n: Annotated[
            int, Field(ge=0, description="Number of texts to return; 0 returns all.")
        ] = 0,
    ) -> Annotated[CallToolResult, RankedTexts]:
        """Rank texts that you have already by how well they answer a question.

        For results of other tools, for example. Does not search the indexes.
        """
        rerankers = self._service.rerankers
        model = rerankers.name(None)
        with self._service.traces.span("rerank", model=model, count=len(texts)):
            future = submitted(self._service, model, query, texts, "truncate")
            scores = await asyncio.wrap_future(future)
        values = rerankers.probabilities(model, scores).tolist()
        places = best_first(scores)[: top_n or None]
        return sent(
            RankedTexts(
                results=[RankedText(index=at, relevance=values[at]) for at in places],
                truncated=int(scores.truncated.sum()) or None,
            )
        )

    async def _searched(
        self,
        index: str,
        query: str,
        options: Mapping[str, Any],
        answer: Callable[[catalog.Hits], ToolAnswer],
    ) -> CallToolResult:
        ongoing = OngoingSearch()

        def search() -> CallToolResult:
            """The answer, written in the thread too: it may hold long texts."""
            found = catalog.found(self._service, index, query, options, ongoing)
            return sent(answer(found))

        return await self._service.threads.read_unless_cancelled(search, ongoing.cancel)

    def _link(self, name: str, hit: FoundHit) -> Found:
        document = _document(hit)
        return Found(
            id=public_id(name, hit.id),
            title=catalog.title(document),
            url=self._links.url(name, document),
        )

    def _passage(self, name: str, hit: FoundHit, neighbourhood: int) -> PassageHit:
        document = _document(hit)
        start, end = hit.span or (0, len(document.text))
        return PassageHit(
            id=public_id(name, hit.id),
            title=catalog.title(document),
            url=self._links.url(name, document),
            before=document.text[max(0, start - neighbourhood) : start],
            passage=document.text[start:end],
            after=document.text[end : end + neighbourhood],
            span=[start, end],
            score=hit.score,
            relevance=hit.relevance,
            metadata=dict(document.metadata) or None,
        )


def _document(hit: FoundHit) -> Document:
    """The document of a hit, which this asks for with all of its text."""
    found = hit.document
    if found is None:
        return Document(hit.id, "")
    return Document(hit.id, found.text or "", found.title, found.metadata)
