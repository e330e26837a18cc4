"""Facts about routes, which are declared beside them and looked up by requests."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter

from rerank_search.serving.route_table import Facts, RouteTable, declared

router = APIRouter()


@router.get("/things")
async def things() -> None: ...


@router.post("/things/{name}/search")
@declared(Facts(reads=True, shape="rerank"))
async def search(name: str) -> None: ...


@router.get("/things/{name}")
async def thing(name: str) -> None: ...


@router.put("/things/{name}")
@declared(Facts(streams=True))
async def change(name: str) -> None: ...


@router.get("/live")
@declared(Facts(public=True, traced=False))
async def live() -> None: ...


TABLE = RouteTable(router.routes)


def scope(method: str, path: str) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "root_path": ""}


@pytest.mark.parametrize(
    ("method", "path", "reads"),
    [
        ("GET", "/things", True),
        ("POST", "/things/a/search", True),
        ("PUT", "/things/a", False),
        # No route has these methods: a key for writing is needed if the path has a route that is.
        ("HEAD", "/things/a", True),
        ("DELETE", "/things/a", False),
        ("DELETE", "/things", True),
        ("PUT", "/things/a/search", True),
        ("POST", "/nothing", True),
    ],
)
def test_a_route_changes_something_if_its_method_may_unless_it_is_declared_to_read(
    method: str, path: str, reads: bool
) -> None:
    assert TABLE.facts(scope(method, path)).reads is reads


def test_the_facts_of_a_route_are_those_beside_it() -> None:
    assert TABLE.facts(scope("PUT", "/things/a")) == Facts(streams=True)
    assert TABLE.facts(scope("GET", "/live")) == Facts(reads=True, public=True, traced=False)
    assert TABLE.facts(scope("GET", "/things/a/search")).shape == "rerank"
    assert TABLE.by_path()["/things/{name}/search"] == Facts(reads=True, shape="rerank")


@pytest.mark.parametrize("path", ["/ui/app.js", "/openapi.json", "/favicon.ico"])
def test_files_of_the_page_are_public(path: str) -> None:
    assert TABLE.facts(scope("GET", path)) == Facts(reads=True, public=True, traced=False)


def test_a_mounted_app_has_the_same_facts_below_its_path() -> None:
    mounted = {**scope("POST", "/api/things/a/search"), "root_path": "/api"}
    assert TABLE.facts(mounted).shape == "rerank"
    page = {**scope("GET", "/api/ui/app.js"), "root_path": "/api"}
    assert TABLE.facts(page).public
    assert not TABLE.facts(scope("GET", "/api/ui/app.js")).public


def test_the_methods_of_a_path_are_those_of_all_its_routes() -> None:
    assert TABLE.allowed_methods(scope("DELETE", "/things/a")) == ["GET", "PUT"]
    assert TABLE.allowed_methods(scope("DELETE", "/nothing")) == []
