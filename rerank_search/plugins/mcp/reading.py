"""The tools that read: searches, whole documents, the indexes that there are, reranking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

from mcp.types import CallToolResult
from pydantic import Field

from rerank_search.errors import RerankSearchError
from rerank_search.options import SearchOptions
from rerank_search.plugins.found import found_document, readable
from rerank_search.plugins.mcp import catalog
from rerank_search.plugins.mcp.answers import (
    Citation,
    Found,
    FoundDocuments,
    Indexes,
    Passages,
    RankedTexts,
    ToolAnswer,
    WholeDocument,
    sent,
)
from rerank_search.plugins.mcp.links import Links, public_id
from rerank_search.plugins.mcp.offer import Offer
from rerank_search.plugins.mcp.passages import packed, passage_hit
from rerank_search.plugins.mcp.search_arguments import (
    NEIGHBOURHOOD,
    BudgetMs,
    Candidates,
    CollapseDuplicates,
    Filter,
    FirstStage,
    IndexName,
    MinRelevance,
    Neighbourhood,
    PassagesPerDocument,
    Query,
    Rerank,
    Tokens,
    TopK,
    options_of,
)
from rerank_search.plugins.mcp.tool import READS, OwnTool, own_tool
from rerank_search.serving.errors import api_error
from rerank_search.serving.ongoing import OngoingSearch
from rerank_search.types import Hit


class ReadingTools:
    """The tools that read. Their docstrings are what models read."""

    def __init__(self, offer: Offer, links: Links, instruction: str | None) -> None:
        self._offer = offer
        self._links = links
        self._instruction = instruction

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
            name, document = catalog.document(self._offer, id)
            return sent(
                WholeDocument(
                    id=id,
                    title=catalog.title(document),
                    text=readable(document).text,
                    url=self._links.url(name, document),
                    metadata=dict(document.metadata) or None,
                )
            )

        return await self._offer.threads.read_unless_cancelled(read)

    async def search_passages(
        self,
        query: Query,
        filter: Filter,
        index: IndexName = "",
        top_k: TopK = SearchOptions.top_k,
        candidates: Candidates = SearchOptions.candidates,
        first_stage: FirstStage = "",
        rerank: Rerank = SearchOptions.rerank,
        budget_ms: BudgetMs = 0.0,
        min_relevance: MinRelevance = 0.0,
        passages_per_document: PassagesPerDocument = SearchOptions.passages_per_document,
        collapse_duplicates: CollapseDuplicates = SearchOptions.collapse_duplicates,
        neighbourhood: Neighbourhood = NEIGHBOURHOOD,
        tokens: Tokens = 0,
    ) -> Annotated[CallToolResult, Passages]:
        """Search the documents for a question, and get the passages that answer it.

        The text around each passage comes with it: usually enough for an answer without fetch. Can
        search one index only, by metadata (filter), and leave out passages that are not relevant
        enough (min_relevance).
        """
        options = options_of(locals())  # the arguments of this call, by their names

        def answer(found: catalog.Hits) -> Passages:
            passages = partial(
                Passages, reranked=found.reranked, warnings=list(found.warnings) or None
            )
            if not tokens:
                hits = [passage_hit(self._links, *each, neighbourhood) for each in found.hits]
                return passages(hits=hits)
            context = packed(self._links, found.hits, tokens)
            citations = [
                Citation(number=each.number, id=each.id, title=each.title, url=each.url or "")
                for each in context.citations
            ]
            return passages(hits=[], context=context.text, citations=citations)

        return await self._searched(index, query, options, answer)

    async def list_indexes(self) -> Annotated[CallToolResult, Indexes]:
        """List the indexes: how many documents each has, titles of a few, and metadata keys.

        Call it before search_passages with a filter or an index.
        """

        def described() -> CallToolResult:
            listed, unavailable = [], {}
            for name in self._offer.names():
                try:
                    listed.append(catalog.description(self._offer, name))
                except RerankSearchError as error:
                    unavailable[name] = str(api_error(error))
            return sent(Indexes(indexes=listed, unavailable=unavailable or None))

        return await self._offer.threads.read_unless_cancelled(described)

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
        ranked = await self._offer.ranked(query, texts, self._instruction)
        best = ranked.results[: top_n or None]
        return sent(ranked.model_copy(update={"results": best}))

    async def _searched(
        self,
        index: str,
        query: str,
        options: Mapping[str, Any],
        answer: Callable[[catalog.Hits], ToolAnswer],
    ) -> CallToolResult:
        ongoing = OngoingSearch()
        if options.get("rerank", True):
            options = {**options, "instruction": self._instruction}

        def search() -> CallToolResult:
            """The answer, written in the thread too: it may hold long texts."""
            found = catalog.found(self._offer, index, query, options, ongoing)
            return sent(answer(found))

        return await self._offer.threads.read_unless_cancelled(search, ongoing.cancel)

    def _link(self, name: str, hit: Hit) -> Found:
        document = found_document(hit)
        return Found(
            id=public_id(name, hit.id),
            title=catalog.title(document),
            url=self._links.url(name, document),
        )
