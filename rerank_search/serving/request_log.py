"""The line of the log and the measurements of each request."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rerank_search.serving.log import FIELDS
from rerank_search.serving.traces import trace_id

if TYPE_CHECKING:
    from rerank_search.serving.metrics import Metrics

logger = logging.getLogger("rerank_search.serving")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


def record(
    metrics: Metrics,
    scope: Mapping[str, Any],
    *,
    request_id: str,
    status: int,
    seconds: float,
    caller: str = "",
) -> None:
    """Log and count a request that has been answered."""
    route = getattr(scope.get("route"), "path", "other")
    # Anybody can invent methods, and the metrics would keep a line for each.
    method = scope["method"] if scope["method"] in _METHODS else "other"
    metrics.request(method, route, status, seconds)
    line = {
        "request_id": request_id,
        "caller": caller,
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(seconds * 1000, 1),
    }
    if (traced := trace_id()) is not None:
        line["trace_id"] = traced
    logger.info("%s %s: %d", scope["method"], scope["path"], status, extra={FIELDS: line})
