"""Who may send a request: the host name, the key and the rate of each one."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers

from rerank_search.errors import RerankSearchError
from rerank_search.serving.errors import ApiError
from rerank_search.serving.keys import Key, KeyFile
from rerank_search.serving.rate import RateLimiter
from rerank_search.serving.route_table import Facts

logger = logging.getLogger("rerank_search.serving")

_PORT = re.compile(r":\d*$")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: the name of its key, or its address, for the log; and the key.

    ``key`` is None if the server has no keys, and for a public route. ``indexes`` are the names of
    those that may be seen; None shows all.
    """

    name: str
    key: Key | None = None
    indexes: frozenset[str] | None = None


class Gate:
    """Refuses requests before a byte of their body is read.

    If there are keys, every route that is not public needs one; a route that changes something
    needs one for writing. ``hosts`` are the names by which the server may be called; None allows
    any.
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

    def caller(self, scope: Mapping[str, Any], headers: Headers, facts: Facts) -> Caller:
        """Who sent the request. Raises ApiError 401 or 403."""
        address = (scope.get("client") or ("", 0))[0]
        if self._keys is None:
            return Caller(str(address))
        if facts.public:
            return Caller(str(address), indexes=frozenset())
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
        if not facts.reads and key.scope != "write":
            raise ApiError(
                403, "forbidden", f"the key {key.name!r} is for reading: use one made with --write"
            )
        if facts.of_all and key.indexes is not None:
            raise ApiError(
                403,
                "forbidden",
                f"the key {key.name!r} opens some indexes only, and this is about the whole "
                "server: use one made without --index",
            )
        return Caller(key.name, key, key.indexes)

    def check_rate(self, caller: str, facts: Facts) -> None:
        """Count a request. Raises ApiError 429 above the rate."""
        if self._rate is not None and not facts.public:
            self._rate.check(caller)


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})


def _bearer(header: str) -> str:
    kind, _, secret = header.partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""
