"""The server that is called, the key for it, and how long to try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import httpx2

from rerank_search.arguments import real_number, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.http_calls.environment import certificates, check_proxies
from rerank_search.http_calls.keys import check_key
from rerank_search.shown import shown

Http = TypeVar("Http", httpx2.Client, httpx2.AsyncClient)


class Endpoint:
    """The address of a server, the key for it, and the limits of waiting.

    ``called`` names the argument that has the URL; ``key_fix`` says where to get a valid key.
    Raises InvalidInputError for invalid arguments.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        timeout: float,
        retries: int,
        random: Callable[[], float],
        called: str = "base_url",
        key_fix: str = "use the one printed by `rerank-search key add`",
    ) -> None:
        self.url = _checked_url(called, url)
        self._key = api_key
        if api_key is not None:
            check_key("api_key", api_key, fix=key_fix)
        self.headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self.timeout = real_number("timeout", timeout, above=0)
        self.retries = whole_number("retries", retries, least=0)
        self.random = random

    def connect(self, kind: Callable[..., Http], **changed: Any) -> Http:
        """New connections to the server, of a class of httpx2.

        Raises InvalidInputError if the environment has an invalid proxy or file of certificates.
        """
        check_proxies()
        usual = {"headers": self.headers, "timeout": self.timeout, "verify": certificates()}
        return kind(**{**usual, **changed})

    def without_key(self, said: str) -> str:
        """The words of the server for an error or a log, without the key if they repeat it."""
        return said if self._key is None else said.replace(self._key, "(the key)")

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments with which a client for the same server is made elsewhere.

        Raises InvalidInputError if there is a key, which must not be stored in a pickle.
        """
        if self.headers:
            raise InvalidInputError(
                "a client with an api_key cannot be pickled or copied, since the key would be in "
                "the pickle: make the client where it is used, with the key from there"
            )
        return {"timeout": self.timeout, "retries": self.retries}


def _checked_url(called: str, given: str) -> str:
    try:
        url = httpx2.URL(given)
    except (httpx2.InvalidURL, TypeError) as error:
        raise InvalidInputError(
            f"{called} is not a valid URL ({error}): use http://HOST:PORT"
        ) from None
    if url.userinfo:  # not shown, since it may be a password
        raise InvalidInputError(f"{called} contains a user name: give a key as api_key")
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise InvalidInputError(
            f"{called}={shown(given)} is not the address of a server: use http://HOST:PORT"
        )
    return str(url).rstrip("/")
