"""Pages of other origins that may call the server from a browser."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from rerank_search.arguments import several
from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s*]+", re.IGNORECASE)


def checked_origins(origins: Sequence[str]) -> list[str]:
    """The origins as browsers send them, in lower case. Raises InvalidInputError for others."""
    checked = []
    for origin in several("cors_origins", origins, one="origins"):
        if origin != "*" and (not isinstance(origin, str) or not _ORIGIN.fullmatch(origin)):
            raise InvalidInputError(
                f"{shown(origin)} is not an origin: use the address of the page without a path, "
                "such as https://app.example or http://localhost:3000, or * for all pages"
            )
        checked.append(origin.lower())
    return checked


def allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Answer preflight requests of these origins without a key, and let them read all answers.

    It has to be the outermost layer, so that browsers can read the errors of the gate too.
    """
    app.add_middleware(
        CORSMiddleware,
        allow_origins=checked_origins(origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "X-API-Key", "Content-Type", "X-Request-ID", "traceparent"],
        expose_headers=["X-Request-ID", "Retry-After"],
    )
