"""A server and its clients in a forked process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from rerank_search import AsyncClient, Client, CrossEncoderReranker, Document, Index
from rerank_search.serving.app import create_app
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.limits import Limits
from rerank_search.serving.service import Service
from rerank_search.serving.shared_reranker import SharedReranker

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    # Python 3.12 warns of a fork beside running threads, which a server has.
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

InChild = Callable[[Callable[[], object]], bool]
PAIRS = [("join paths", "join two paths"), ("join paths", "bread and cheese")]


def test_requests_are_batched_in_a_child_and_in_its_child(
    reranker: CrossEncoderReranker, in_child: InChild
):
    shared = SharedReranker(reranker)
    expected = shared.score(PAIRS).tolist()

    def child() -> bool:
        return shared.score(PAIRS).tolist() == expected and shared.waiting == 0

    assert in_child(lambda: child() and in_child(child))
    assert in_child(lambda: shared.close() is None)
    assert child()
    shared.close()


@pytest.mark.process
def test_an_app_that_the_parent_made_is_served_by_its_children(
    tmp_path: Path, tiny_encoder: Path, reranker: CrossEncoderReranker
):
    with Index.create(tmp_path / "notes", encoder=str(tiny_encoder)) as index:
        index.add([Document("join", "join two paths"), Document("bread", "bread and cheese")])
    service = Service(Indexes(tmp_path, {}, all_of_home=True), [reranker], Limits())
    service.indexes.warm()
    app = create_app(service)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        child = os.fork()
        if child == 0:
            try:
                server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
                server.run(sockets=[taken])
            finally:
                os._exit(0)
        try:
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            with httpx2.Client(base_url=url, timeout=60) as client:
                asked = {"query": "join paths", "top_k": 1, "index": "notes"}
                assert client.post("/v1/search", json=asked).status_code == 200
                written = {"documents": [{"id": "new", "text": "a tower"}]}
                answer = client.post("/v1/indexes/notes/documents", json=written)
                assert answer.status_code == 200, answer.text
        finally:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
    with service.indexes.use("notes") as index:
        assert index.get("new") is not None
    service.close()


@pytest.mark.process
def test_a_client_is_used_by_parent_and_child_without_taking_answers_of_the_other(
    server: Any, in_child: InChild
):
    with Client(server.url, "notes") as client:
        both = ["join paths", "bread"]
        expected = {query: client.search(query, top_k=1).hits[0].id for query in both}

        def asks(query: str) -> bool:
            return all(
                client.search(query, top_k=1).hits[0].id == expected[query] for _ in range(10)
            )

        assert in_child(lambda: asks("bread") and in_child(lambda: asks("join paths")))
        assert asks("join paths")


def test_an_async_client_works_in_a_child(server: Any, in_child: InChild):
    client = AsyncClient(server.url, "notes")

    async def asks() -> str:
        found = await client.search("join paths", top_k=1)
        return found.hits[0].id

    expected = asyncio.run(asks())

    def child() -> bool:
        return asyncio.run(asks()) == expected

    assert in_child(child)
