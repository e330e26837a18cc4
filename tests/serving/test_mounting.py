"""The application inside another one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from rerank_search import Document, Index
from rerank_search.errors import SearchIndexError
from rerank_search.serving.app import create_app
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.keys import KeyFile, add_key
from rerank_search.serving.limits import Limits
from rerank_search.serving.service import Service


def test_a_mounted_application_answers_and_is_closed_with_the_outer_one(tmp_path: Path) -> None:
    with Index.create(tmp_path / "home" / "notes", encoder=None) as index:
        index.add([Document("a/b", "a song")])
    secret = add_key(tmp_path / "keys.json", "reader", "read")
    service = Service(Indexes(tmp_path / "home", {}, all_of_home=True), [], Limits())
    with service.indexes.use("notes") as opened:
        assert opened.get("a/b") is not None
    inner = create_app(
        service, keys=KeyFile(tmp_path / "keys.json"), cors_origins=["https://app.example"]
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with inner.router.lifespan_context(inner):
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/api/search", inner)

    @outer.get("/own")
    async def own() -> str:
        return "own"

    sent = {"authorization": f"Bearer {secret}", "origin": "https://app.example"}
    with TestClient(outer) as client:
        assert client.get("/own").json() == "own"
        found = client.post("/api/search/v1/search", json={"query": "song"}, headers=sent)
        assert found.json()["results"][0]["hits"][0]["id"] == "a/b"
        assert found.headers["access-control-allow-origin"] == "https://app.example"
        path = "/api/search/v1/indexes/notes/documents/a%2Fb"
        assert client.get(path, headers=sent).json()["text"] == "a song"
        assert client.get("/api/search/health/ready").json() == {"status": "ready"}
        assert client.get("/api/search/ui/page.css").status_code == 200
        assert client.get("/api/search/v1/indexes").status_code == 401
        refused = client.delete(path, headers=sent)
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "forbidden")
        unknown = client.get("/api/search/nothing", headers=sent)
        assert unknown.json()["error"]["type"] == "no_such_path"
        described = client.get("/api/search/openapi.json").json()
        assert "/v1/search" in described["paths"]
    with pytest.raises(SearchIndexError, match="closed"):
        opened.get("a/b")
