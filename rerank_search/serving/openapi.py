"""The description of the API: what FastAPI makes of the routes, with the errors that they have."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from rerank_search.serving.middleware import shape_of
from rerank_search.serving.schemas import ErrorAnswer, RerankErrorAnswer, TeiErrorAnswer

_STATUSES = {
    "400": "The request is wrong; the message says where.",
    "401": "A key is needed.",
    "403": "The key is for reading, or the index is.",
    "404": "There is no such index or model.",
    "409": "The index is there already.",
    "413": "The request is larger than it may be.",
    "415": "The body is of another kind.",
    "429": "Too many requests; Retry-After says when to come again.",
    "500": "Something failed; the log has more under the request's id.",
    "503": "Not now, as while another process writes to the index; try again.",
    "507": "The disk is full.",
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        _add_errors(made)
        made["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "Where there are keys."},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        made["security"] = [{}, {"key": []}, {"header": []}]
        app.openapi_schema = made
    return app.openapi_schema


def _add_errors(made: dict[str, Any]) -> None:
    """Our errors instead of FastAPI's, which it answers with 422."""
    models = (ErrorAnswer, RerankErrorAnswer, TeiErrorAnswer)
    _, schemas = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    known = made["components"]["schemas"]
    known.update(schemas["$defs"])
    for name in ("HTTPValidationError", "ValidationError"):
        known.pop(name, None)
    for path, operations in made["paths"].items():
        if path.startswith("/health"):
            continue
        names = ["ErrorAnswer"] if shape_of(path) == "native" else ["RerankErrorAnswer"]
        if path == "/rerank":
            names.append("TeiErrorAnswer")
        content = {"schema": {"anyOf": [{"$ref": f"#/components/schemas/{n}"} for n in names]}}
        for operation in operations.values():
            operation["responses"].pop("422", None)
            for status, meaning in _STATUSES.items():
                operation["responses"][status] = {
                    "description": meaning,
                    "content": {"application/json": content},
                }
