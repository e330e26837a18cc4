"""Who may send a request: the host name, the key and the rate of each one."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from starlette.datastructures import Headers

from rerank_search.errors import RerankSearchError
from rerank_search.serving.errors import ApiError
from rerank_search.serving.keys import Key, KeyFile, Scope
from rerank_search.serving.rate import RateLimiter

logger = logging.getLogger("rerank_search.serving")

_PORT = re.compile(r":\d*$")
_PUBLIC = ("/health/", "/ui/")
_PAGES = frozenset({"/", "/openapi.json", "/favicon.ico"})


class Gate:
    """Refuses requests before a byte of their body is read.

    If there are keys, everything but health and the page needs one; changing an index needs one
    for writing. ``hosts`` are the names by which the server may be called; None allows any.
    """

    def __init__(
        self, *, keys: KeyFile | None, rate: RateLimiter | None, hosts: frozenset[str] | None
    ) -> None:
        self._keys = keys
        self._rate = rate
        self._hosts = hosts

    def check_host(self, headers: Headers) -> None:
        """Raise ApiError 403 for another host name, to which DNS rebinding leads browsers."""
        name = _PORT.sub("", headers.get("host", ""))
        if self._hosts is not None and name.lower() not in self._hosts:
            known = ", ".join(sorted(self._hosts))
            raise ApiError(
                403,
                "unknown_host",
                f"the host name {name!r:.100} is not allowed: a server without keys is called "
                f"{known}",
            )

    def caller(self, scope: Mapping[str, Any], headers: Headers) -> str:
        """The name of the key, or the address, for the log. Raises ApiError 401 or 403."""
        address = (scope.get("client") or ("", 0))[0]
        if self._keys is None or _is_public(scope["path"]):
            return str(address)
        secret = headers.get("x-api-key") or _bearer(headers.get("authorization", ""))
        if not secret:
            raise _unauthorized("a key is needed: send it as 'Authorization: Bearer KEY'")
        try:
            key = self._keys.find(secret)
        except RerankSearchError:
            logger.exception("the file of keys cannot be read")
            raise ApiError(503, "keys_unavailable", "keys cannot be checked now") from None
        if key is None:
            raise _unauthorized("the key is not valid: it is mistyped, or was removed")
        _require(key, needed_scope(scope["method"], scope["path"]))
        return key.name

    def check_rate(self, caller: str, path: str) -> None:
        """Count a request. Raises ApiError 429 above the rate."""
        if self._rate is not None and not _is_public(path):
            self._rate.check(caller)


def needed_scope(method: str, path: str) -> Scope:
    """The scope that a key needs for a request."""
    changes = path.startswith("/v1/indexes") and method not in ("GET", "HEAD", "OPTIONS")
    return "write" if changes else "read"


def is_untraced(scope: MutableMapping[str, Any]) -> bool:
    """Whether a request has no trace.

    The URLs of the page may hold queries; health and metrics are asked for every few seconds.
    """
    return _is_public(scope["path"]) or scope["path"] == "/metrics"


def _require(key: Key, scope: Scope) -> None:
    if scope == "write" and key.scope != "write":
        raise ApiError(
            403, "forbidden", f"the key {key.name!r} is for reading: use one made with --write"
        )


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})


def _bearer(header: str) -> str:
    kind, _, secret = header.partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""


def _is_public(path: str) -> bool:
    return path in _PAGES or path.startswith(_PUBLIC)
