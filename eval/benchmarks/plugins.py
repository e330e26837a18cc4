"""The time that each plugin adds to a call of the library.

Usage: python eval/benchmarks/plugins.py [--queries N]

Writes eval/results/plugins.md and .json. The index is made up, and the reranker takes no time, so
that little but the plugin is measured. A call of the library and one of the plugin are made in
turn, in one process, with the same query.

A further plugin is one more function in PLUGINS.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import math
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import table, write
from synthetic import queries, texts

from rerank_search import Document, Index, Searcher
from rerank_search.plugins.rerankers import TextRanker

DOCUMENTS = 5_000
TERMS = 60
TARGET_MS = 2.0
UNCOUNTED = 20
"""Number of calls before those that count."""

REPEATS = 5
"""Calls with each query, of which the quickest counts: other programs disturb it least."""

TOGETHER = 32
"""Number of calls at once while a heartbeat goes on."""

ROUNDS = 5
BEAT_S = 0.005
LATE_MS = 50.0

RERANKED = 20
"""Number of texts given to a plugin that reranks."""


class ByLength:
    """A reranker that takes next to no time."""

    name = "by-length"

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Shorter is better."""
        return np.array([-len(text) for _, text in pairs], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Compared:
    """A call of the library, and the plugin's call that does the same.

    ``awaited`` is the plugin's coroutine function if the call is one.
    """

    library: Callable[[str], object]
    plugin: Callable[[str], object]
    awaited: Callable[[str], Awaitable[object]] | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What plugins are made of."""

    index: Index
    searcher: Searcher
    texts: Sequence[str]
    loop: asyncio.AbstractEventLoop

    def coroutine(self, call: Callable[[str], Awaitable[object]]) -> Compared:
        """A plugin's coroutine function, compared with the library's."""
        return Compared(self.awaited(self.searcher.asearch), self.awaited(call), call)

    def awaited(self, call: Callable[[str], Awaitable[object]]) -> Callable[[str], object]:
        """The call as one that waits for its result."""

        async def run(query: str) -> object:
            return await call(query)

        return lambda query: self.loop.run_until_complete(run(query))


def langchain(given: Given) -> Mapping[str, Compared]:
    """The classes for LangChain."""
    from langchain_core.documents import Document as Found

    from rerank_search.plugins.langchain import (
        RerankSearchCompressor,
        RerankSearchRetriever,
        RerankSearchVectorStore,
    )

    searcher = given.searcher
    retriever = RerankSearchRetriever(searcher=searcher)
    store = RerankSearchVectorStore(given.index, reranker=ByLength())
    compressor = RerankSearchCompressor(reranker=ByLength(), top_n=10)
    ranker = TextRanker(ByLength())
    found = [Found(text, metadata={"source": "made up"}) for text in given.texts]
    return {
        "retriever.invoke": Compared(searcher.search, retriever.invoke),
        "retriever.ainvoke": given.coroutine(retriever.ainvoke),
        "vector store.similarity_search": Compared(
            searcher.search, lambda query: store.similarity_search(query, k=10)
        ),
        "compressor.compress_documents": Compared(
            lambda query: ranker.ranked(query, given.texts, top_k=10),
            lambda query: compressor.compress_documents(found, query),
        ),
    }


def llama_index(given: Given) -> Mapping[str, Compared]:
    """The classes for LlamaIndex."""
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.core.vector_stores.types import VectorStoreQuery

    from rerank_search.plugins.llama_index import (
        RerankSearchPostprocessor,
        RerankSearchRetriever,
        RerankSearchVectorStore,
    )

    searcher = given.searcher
    retriever = RerankSearchRetriever(searcher)
    store = RerankSearchVectorStore(index=given.index, reranker=ByLength())
    postprocessor = RerankSearchPostprocessor(reranker=ByLength(), top_n=10)
    ranker = TextRanker(ByLength())
    found = [NodeWithScore(node=TextNode(text=text), score=0.5) for text in given.texts]
    return {
        "retriever.retrieve": Compared(searcher.search, retriever.retrieve),
        "retriever.aretrieve": given.coroutine(retriever.aretrieve),
        "vector store.query": Compared(
            searcher.search,
            lambda query: store.query(VectorStoreQuery(query_str=query, similarity_top_k=10)),
        ),
        "postprocessor.postprocess_nodes": Compared(
            lambda query: ranker.ranked(query, given.texts, top_k=10),
            lambda query: postprocessor.postprocess_nodes(found, query_str=query),
        ),
    }


def haystack(given: Given) -> Mapping[str, Compared]:
    """The classes for Haystack, called as they are, without a pipeline."""
    os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
    from haystack.dataclasses import Document as Found

    from haystack_integrations.components.rankers.rerank_search import RerankSearchRanker
    from haystack_integrations.components.retrievers.rerank_search import RerankSearchRetriever
    from haystack_integrations.document_stores.rerank_search import RerankSearchDocumentStore

    searcher = given.searcher
    retriever = RerankSearchRetriever(searcher=searcher)
    store = RerankSearchDocumentStore(given.index)
    of_store = RerankSearchRetriever(store, reranker=ByLength())
    ranker, texts_ranker = RerankSearchRanker(ByLength()), TextRanker(ByLength())
    found = [Found(content=text) for text in given.texts]
    return {
        "retriever.run": Compared(searcher.search, retriever.run),
        "retriever.run_async": given.coroutine(retriever.run_async),
        "retriever.run over a document store": Compared(searcher.search, of_store.run),
        "ranker.run": Compared(
            lambda query: texts_ranker.ranked(query, given.texts, top_k=10),
            lambda query: ranker.run(query, found),
        ),
    }


def dspy(given: Given) -> Mapping[str, Compared]:
    """The callable for DSPy."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    from rerank_search.plugins.dspy import RerankSearchRetriever

    find = RerankSearchRetriever(given.searcher, k=10)
    return {
        "a call": Compared(given.searcher.search, find),
        "acall": given.coroutine(find.acall),
    }


def mcp(given: Given) -> Mapping[str, Compared]:
    """The tools of the MCP server, without a client.

    Beside them is what two parts of them take: the server's search, with its limits, its counts and
    the reranker that requests share; and the SDK, for a tool that does nothing.
    """
    from rerank_search.plugins.mcp import mcp_server
    from rerank_search.serving.indexes import Indexes
    from rerank_search.serving.limits import Limits
    from rerank_search.serving.ongoing import OngoingSearch
    from rerank_search.serving.schemas.search import SearchRequest
    from rerank_search.serving.searching import searched
    from rerank_search.serving.service import Service

    path = given.index.path
    indexes = Indexes(path.parent, {path.name: path}, all_of_home=False)
    service = Service(indexes, [ByLength()], Limits())
    server = mcp_server(service)
    # As in a server: one loop that runs all the time, and keeps its threads.
    loop = asyncio.new_event_loop()
    for_ever = loop.create_future()
    threading.Thread(target=loop.run_until_complete, args=[for_ever], daemon=True).start()

    def awaited(call: Callable[[str], Coroutine[Any, Any, object]]) -> Callable[[str], object]:
        return lambda query: asyncio.run_coroutine_threadsafe(call(query), loop).result()

    def tool(name: str) -> Compared:
        return Compared(
            awaited(given.searcher.asearch),
            awaited(lambda query: server.call_tool(name, {"query": query})),
        )

    async def empty(query: str) -> dict[str, str]:
        """A tool that does nothing."""
        return {"query": query}

    server.add_tool(empty)
    of_the_sdk = Compared(
        awaited(empty), awaited(lambda query: server.call_tool("empty", {"query": query}))
    )

    async def of_the_server(query: str) -> object:
        asked = SearchRequest(index=path.name, query=query)
        search = functools.partial(searched, service, asked, OngoingSearch())
        return await service.threads.read_unless_cancelled(search)

    return {
        "search": tool("search"),
        "search_passages": tool("search_passages"),
        "part: the server's search": Compared(
            awaited(given.searcher.asearch), awaited(of_the_server)
        ),
        "part: the SDK, for an empty tool": of_the_sdk,
    }


PLUGINS: Mapping[str, Callable[[Given], Mapping[str, Compared]]] = {
    "LangChain": langchain,
    "LlamaIndex": llama_index,
    "Haystack": haystack,
    "DSPy": dspy,
    "MCP": mcp,
}


def times(compared: Compared, asked: Sequence[str]) -> tuple[float, float]:
    """The median milliseconds of both calls; each is the first one every other time.

    Of the calls with one query the quickest counts.
    """
    calls = {"library": compared.library, "plugin": compared.plugin}
    quickest: dict[str, list[float]] = {name: [math.inf] * len(asked) for name in calls}
    for place, query in enumerate(asked):
        for repeat in range(REPEATS):
            for name, call in sorted(calls.items(), reverse=repeat % 2 == 1):
                started = time.perf_counter()
                call(query)
                spent = (time.perf_counter() - started) * 1000
                quickest[name][place] = min(spent, quickest[name][place])
    library, plugin = (statistics.median(each[UNCOUNTED:]) for each in quickest.values())
    return library, plugin


async def lateness(call: Callable[[str], Awaitable[object]], asked: Sequence[str]) -> float:
    """The most milliseconds by which a heartbeat is late while all these calls run."""

    async def beat() -> None:
        nonlocal worst
        while True:
            started = time.perf_counter()
            await asyncio.sleep(BEAT_S)
            worst = max(worst, time.perf_counter() - started - BEAT_S)

    async def run(query: str) -> None:
        await call(query)

    worst = 0.0
    beating = asyncio.create_task(beat())
    await asyncio.gather(*map(run, asked))
    beating.cancel()
    return worst * 1000


def beats(given: Given, compared: Compared, asked: Sequence[str]) -> tuple[float, float] | None:
    """The median lateness of the library and of the plugin; each is first every other time."""
    if compared.awaited is None:
        return None
    calls = {"library": given.searcher.asearch, "plugin": compared.awaited}
    late: dict[str, list[float]] = {name: [] for name in calls}
    for place in range(ROUNDS):
        for name, call in sorted(calls.items(), reverse=place % 2 == 1):
            late[name].append(given.loop.run_until_complete(lateness(call, asked)))
    library, plugin = (statistics.median(each) for each in late.values())
    return library, plugin


def main() -> None:
    """Measure every plugin, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=200)
    count = parser.parse_args().queries
    made = texts(DOCUMENTS, TERMS)
    asked = queries(made, count + UNCOUNTED)
    rows: list[list[object]] = []
    beating: list[list[object]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Index.create(Path(folder) / "index", encoder=None) as index,
        asyncio.Runner() as runner,
    ):
        index.add(Document(str(i), text) for i, text in enumerate(made))
        given = Given(index, Searcher(index, ByLength()), made[:RERANKED], runner.get_loop())
        for framework, plugin in PLUGINS.items():
            for call, compared in plugin(given).items():
                library, with_plugin = times(compared, asked)
                rows.append([framework, call, library, with_plugin, with_plugin - library])
                if late := beats(given, compared, asked[:TOGETHER]):
                    beating.append([framework, call, *late, late[1] - late[0]])
    worst = max(float(str(row[-1])) for row in rows)
    met = "met" if worst <= TARGET_MS else "missed"
    latest = max(float(str(row[-1])) for row in beating)
    in_time = "met" if latest <= LATE_MS else "missed"
    heartbeat = ["framework", "call", "library, ms late", "plugin, ms late", "added, ms"]
    headers = ["framework", "call", "library, p50 ms", "plugin, p50 ms", "added, ms"]
    path = write(
        "plugins",
        "What plugins add to the library",
        f"python eval/benchmarks/plugins.py --queries {count}",
        {
            "What is measured": f"{count:,} queries each, over an index of {DOCUMENTS:,} made-up "
            f"documents of {TERMS} words, without vectors, with 100 candidates and a reranker that "
            f"takes next to no time; the compressor and the postprocessor get {RERANKED} texts. A "
            "call of the library and one of the plugin in turn, with the same query, in one "
            f"process, {REPEATS} times; the quickest call of a query counts, because other "
            "programs disturb it least, and the table has the medians of the queries.",
            "Time": table(headers, rows),
            "Event loop": f"{TOGETHER} calls at once while a heartbeat of {BEAT_S * 1000:g} ms "
            f"goes on: the most that it is late, the median of {ROUNDS} rounds.\n\n"
            + table(heartbeat, beating),
            "Target": f"at most {TARGET_MS:g} ms added at the median: {met} ({worst:.2g} ms); "
            f"a heartbeat at most {LATE_MS:g} ms later than with the library: {in_time} "
            f"({latest:.2g} ms)",
        },
        {
            "time": [dict(zip(headers, row, strict=True)) for row in rows],
            "event loop": [dict(zip(heartbeat, row, strict=True)) for row in beating],
        },
    )
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
