"""The address of a database, as the parameters of libpq."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from rerank_search.errors import InvalidInputError
from rerank_search.stores.url import StoreUrl


def connection_parameters(url: StoreUrl, given: Mapping[str, str]) -> dict[str, str]:
    """The parameters of libpq for a URL and the options that libpq knows.

    What is missing comes from libpq's own ways: PGHOST, PGPASSWORD, ~/.pgpass and others.
    """
    hosts, ports = _hosts(url.host)
    parts = {
        "host": hosts,
        "port": ports,
        "user": url.user,
        "password": url.password,
        "dbname": url.path.removeprefix("/"),
    }
    from_url = {name: value for name, value in parts.items() if value}
    if twice := sorted(from_url.keys() & given.keys()):
        raise InvalidInputError(
            f"the URL of the store has {twice[0]} twice, as an option too: leave one of them out"
        )
    if any("\0" in value for value in (*from_url.values(), *given.values())):
        raise InvalidInputError("the URL of the store contains a NUL character: remove it")
    return {**from_url, **given}


def _hosts(written: str) -> tuple[str, str]:
    """The hosts and the ports, of which there may be several: ``a:5432,b:5433``."""
    hosts, ports = [], []
    for each in written.split(","):
        host, _, port = each.rpartition(":") if _has_port(each) else (each, "", "")
        hosts.append(unquote(host).removeprefix("[").removesuffix("]"))
        ports.append(port)
    return ",".join(hosts), ",".join(ports) if any(ports) else ""


def _has_port(host: str) -> bool:
    return ":" in host and not host.endswith("]")
