"""What the environment says about connections: their proxies, and the certificates to trust."""

from __future__ import annotations

import os
import ssl
from functools import cache
from importlib.util import find_spec
from urllib.request import getproxies

import httpx2

from rerank_search.errors import InvalidInputError


def check_proxies() -> None:
    """Raise InvalidInputError for a proxy that cannot be used, by the name of its variable.

    Its value is not shown, since it may have a password.
    """
    given = getproxies()
    if "*" in [host.strip() for host in given.get("no", "").split(",")]:
        return  # there are no proxies then
    for scheme in ("http", "https", "all"):
        if (proxy := given.get(scheme)) and (problem := _problem(proxy)):
            raise InvalidInputError(f"{_variable(scheme, proxy)} {problem}")


@cache
def certificates() -> ssl.SSLContext:
    """The trusted certificates, which take longer to read than a search; all clients share them.

    Raises InvalidInputError for a file that cannot be read.
    """
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        raise InvalidInputError(
            f"SSL_CERT_FILE names no file of certificates ({error.strerror or error}): correct it, "
            "or unset it"
        ) from error


def _problem(proxy: str) -> str | None:
    try:
        url = httpx2.Proxy(proxy if "://" in proxy else f"http://{proxy}").url
    except (ValueError, httpx2.InvalidURL):
        url = None
    if url is None or not url.host:
        return "is not the URL of a proxy: use http://HOST:PORT, or unset it"
    if url.scheme.startswith("socks") and find_spec("socksio") is None:
        return "names a SOCKS proxy, which needs the package socksio: pip install socksio"
    return None


def _variable(scheme: str, proxy: str) -> str:
    """The variable that has the proxy, whose name may be in lower case."""
    usual = f"{scheme}_PROXY".upper()
    names = [name for name, value in os.environ.items() if value == proxy]
    return next((name for name in names if name.upper() == usual), usual)
