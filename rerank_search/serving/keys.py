"""API keys: made once, shown once, kept as hashes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from rerank_search.errors import InvalidInputError
from rerank_search.files import atomic_write_json

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

Scope: TypeAlias = Literal["read", "write"]
"""What a key is for: searching and reranking, or that and changing indexes."""

_PREFIX = "rs_"
_BYTES = 32


class Key(BaseModel):
    """A key as it is kept. Its 256 bits are random, so that a plain hash cannot be guessed back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    scope: Scope
    sha256: str
    created: datetime


class KeyFile:
    """The keys of a file; several may be valid at a time, so that one can replace another.

    A file that has changed is read again, so that keys come and go without a restart. Raises
    InvalidInputError for a file that ``add_key`` has not written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = _stamp(path)
        self._keys = read_keys(path)

    def find(self, secret: str) -> Key | None:
        """The key whose secret it is. All are compared, each in constant time."""
        seen = _stamp(self.path)
        if seen != self._seen:
            self._keys = read_keys(self.path)
            self._seen = seen
        digest = _digest(secret)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found


def read_keys(path: Path) -> list[Key]:
    """The keys of a file. Raises InvalidInputError."""
    try:
        entries = json.loads(path.read_bytes())
        return [Key.model_validate(entry) for entry in entries["keys"]]
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be read ({error.strerror}): make a key by "
            f"`rerank-search key add NAME --file {path}`"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"{path} is no file of keys: make one by `rerank-search key add NAME --file ...`"
        ) from error


def add_key(path: Path, name: str, scope: Scope) -> str:
    """Add a key to the file, made if need be, and return its secret, which is kept nowhere.

    Raises InvalidInputError for a name that is there.
    """
    secret = _PREFIX + secrets.token_urlsafe(_BYTES)
    made = Key(name=name, scope=scope, sha256=_digest(secret), created=datetime.now(UTC))
    with _changing(path):
        keys = read_keys(path) if path.exists() else []
        if any(key.name == name for key in keys):
            raise InvalidInputError(f"{path} has a key {name!r}: choose another name, or remove it")
        _write(path, [*keys, made])
    return secret


def remove_key(path: Path, name: str) -> None:
    """Remove a key from the file. Raises InvalidInputError where there is none of that name."""
    with _changing(path):
        keys = read_keys(path)
        left = [key for key in keys if key.name != name]
        if len(left) == len(keys):
            known = ", ".join(key.name for key in keys) or "none"
            raise InvalidInputError(f"{path} has no key {name!r}; there are: {known}")
        _write(path, left)


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """One at a time, so that no key is lost to another that is added at the same moment.

    The folder is locked, which leaves no file behind; Windows cannot lock one.
    """
    if not path.parent.is_dir():
        raise InvalidInputError(f"{path.parent} is no folder: make it, or choose another file")
    if fcntl is None:
        yield
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(path: Path, keys: list[Key]) -> None:
    """Keep the file's owner and mode: a server that may read it must go on to."""
    before = path.stat() if path.exists() else None
    atomic_write_json(path, {"keys": [key.model_dump(mode="json") for key in keys]})
    path.chmod(0o600 if before is None else stat.S_IMODE(before.st_mode))
    if before is not None and (before.st_uid, before.st_gid) != (os.getuid(), os.getgid()):
        os.chown(path, before.st_uid, before.st_gid)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
