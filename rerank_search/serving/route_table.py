"""Facts about routes that count before a request reaches its route, such as who may send it.

They are declared beside each route:

    @router.post("/score")
    @declared(Facts(reads=True, shape="rerank"))
    async def score(...): ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match

from rerank_search.serving.errors import Shape

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PUBLIC_FILES = ("/ui/", "/openapi.json", "/favicon.ico")
"""Beginnings of the public paths that have no route here."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about a route.

    ``reads`` means that it changes nothing, though its method may; a key for reading is then
    enough. ``public`` means that it needs no key and has no rate. ``traced`` means that its
    requests have a trace. ``streams`` means that NDJSON is stored while it comes in. ``shape`` is
    the shape of its errors, and ``takes_tei`` means that it is "tei" for a request of
    text-embeddings-inference. ``of_all`` means that it tells about the whole server, so that a key
    for some indexes is not enough. ``takes_query`` means that it reads the query string of the URL.
    """

    reads: bool = False
    public: bool = False
    traced: bool = True
    streams: bool = False
    shape: Shape = "native"
    takes_tei: bool = False
    of_all: bool = False
    takes_query: bool = False


_DECLARED: dict[Callable[..., Any], Facts] = {}


def declared(facts: Facts) -> Callable[[Endpoint], Endpoint]:
    """A decorator that declares the facts of a route."""

    def declare(endpoint: Endpoint) -> Endpoint:
        _DECLARED[endpoint] = facts
        return endpoint

    return declare


class RouteTable:
    """The routes of the API, with the facts of each."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = [
            (route, _DECLARED.get(route.endpoint, Facts()))
            for route in routes
            if isinstance(route, APIRoute)
        ]

    def facts(self, scope: MutableMapping[str, Any]) -> Facts:
        """The facts that count for a request.

        For a method that its path does not allow these are the facts of the path's first route,
        and a key for writing is needed if any route of the path needs one.
        """
        found = self._matching(scope)
        if not found:
            # A mounted app gets the whole path, and in root_path where it is mounted.
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            public = path.startswith(_PUBLIC_FILES)
            return Facts(reads=True, public=public, traced=not public)
        reads = scope["method"] in _SAFE or all(
            facts.reads or _methods(route) <= _SAFE for route, facts in found
        )
        return replace(found[0][1], reads=reads)

    def allowed_methods(self, scope: MutableMapping[str, Any]) -> list[str]:
        """The methods that the path of a request allows."""
        found = self._matching(scope)
        return sorted({method for route, _ in found for method in _methods(route)})

    def by_path(self) -> Mapping[str, Facts]:
        """The facts of each path, as OpenAPI writes it."""
        return {route.path_format: facts for route, facts in self._routes}

    def _matching(self, scope: MutableMapping[str, Any]) -> list[tuple[APIRoute, Facts]]:
        """The route of a request, or the routes that have its path and other methods."""
        matches = [(route, facts, route.matches(scope)[0]) for route, facts in self._routes]
        for wanted in (Match.FULL, Match.PARTIAL):
            if found := [(route, facts) for route, facts, match in matches if match is wanted]:
                return found[:1] if wanted is Match.FULL else found
        return []


def _methods(route: APIRoute) -> set[str]:
    return route.methods or set()
