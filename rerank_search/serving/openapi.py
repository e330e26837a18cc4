"""The OpenAPI document: what FastAPI makes of the routes, and the errors of each."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from rerank_search.serving.route_table import RouteTable
from rerank_search.serving.schemas.errors import ErrorAnswer, RerankErrorAnswer, TeiErrorAnswer

_STATUSES = {
    "400": "The request is invalid; the message says where.",
    "401": "A key is needed.",
    "403": "The key is only for reading, or the index is read-only.",
    "404": "There is no such index or model.",
    "409": "The index exists already.",
    "413": "The request is above a limit.",
    "415": "The media type or the encoding of the body is not supported.",
    "429": "Too many requests; Retry-After says when to try again.",
    "500": "The request failed inside the server; the log says why, under the request's id.",
    "503": "Not possible now, for example while another process writes to the index; try again.",
    "507": "The disk is full.",
}


def describe(app: FastAPI, routes: RouteTable) -> dict[str, Any]:
    """The OpenAPI document, which is made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        _add_errors(made, routes)
        made["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "If the server has keys."},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        made["security"] = [{}, {"key": []}, {"header": []}]
        app.openapi_schema = made
    return app.openapi_schema


def _add_errors(made: dict[str, Any], routes: RouteTable) -> None:
    """Describe our errors instead of FastAPI's own, which would have the status 422."""
    models = (ErrorAnswer, RerankErrorAnswer, TeiErrorAnswer)
    _, schemas = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    known = made["components"]["schemas"]
    known.update(schemas["$defs"])
    for name in ("HTTPValidationError", "ValidationError"):
        known.pop(name, None)
    by_path = routes.by_path()
    for path, operations in made["paths"].items():
        facts = by_path[path]
        if facts.public:
            continue
        names = ["ErrorAnswer"] if facts.shape == "native" else ["RerankErrorAnswer"]
        if facts.takes_tei:
            names.append("TeiErrorAnswer")
        content = {"schema": {"anyOf": [{"$ref": f"#/components/schemas/{n}"} for n in names]}}
        for operation in operations.values():
            operation["responses"].pop("422", None)
            for status, meaning in _STATUSES.items():
                operation["responses"][status] = {
                    "description": meaning,
                    "content": {"application/json": content},
                }
