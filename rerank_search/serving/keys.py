"""API keys: shown once, when they are made, and stored as hashes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_serializer

from rerank_search.errors import InvalidInputError
from rerank_search.files import atomic_write_json

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

Scope: TypeAlias = Literal["read", "write"]
"""Permissions of a key: to search and rerank ("read"), or to change indexes too ("write")."""

_PREFIX = "rs_"
_BYTES = 32


class Key(BaseModel):
    """A key as it is stored. Its 256 bits are random, so that a plain hash is safe.

    ``indexes`` are the names of the only ones that it opens; None opens all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    scope: Scope
    sha256: str
    created: datetime
    indexes: frozenset[str] | None = Field(default=None, exclude_if=lambda names: names is None)

    @field_serializer("indexes")
    def _ascending(self, names: frozenset[str] | None) -> list[str] | None:
        return None if names is None else sorted(names)


class KeyFile:
    """The valid keys, which a file holds.

    A changed file is read again, so that keys can be added and removed without a restart. Raises
    InvalidInputError for a file that ``add_key`` has not written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = _stamp(path)
        self._keys = read_keys(path)

    def find(self, secret: str) -> Key | None:
        """The key with this secret. Compares every key in constant time.

        Raises InvalidInputError for a file that cannot be read.
        """
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
            f"{path} cannot be read ({error.strerror}): make a key with "
            f"`rerank-search key add NAME --file {path}`"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"{path} is not a file of keys: make one with `rerank-search key add NAME --file ...`"
        ) from error


def add_key(path: Path, name: str, scope: Scope, indexes: Iterable[str] | None = None) -> str:
    """Add a key to the file, which is made if it is missing; returns the secret.

    The secret is stored nowhere. ``indexes`` are the names of the only ones that the key opens;
    they need not exist yet. None opens all. Raises InvalidInputError for a name that exists
    already, and for no or empty names of indexes.
    """
    only = None if indexes is None else frozenset(indexes)
    if only is not None and (not only or "" in only):
        raise InvalidInputError("a key opens at least one index: give its name, or open all")
    secret = _PREFIX + secrets.token_urlsafe(_BYTES)
    made = Key(
        name=name,
        scope=scope,
        sha256=_digest(secret),
        created=datetime.now(UTC),
        indexes=only,
    )
    with _changing(path):
        keys = read_keys(path) if path.exists() else []
        if any(key.name == name for key in keys):
            raise InvalidInputError(
                f"{path} has a key {name!r} already: choose another name, or remove that key"
            )
        _write(path, [*keys, made])
    return secret


def remove_key(path: Path, name: str) -> None:
    """Remove a key from the file. Raises InvalidInputError if there is none of that name."""
    with _changing(path):
        keys = read_keys(path)
        left = [key for key in keys if key.name != name]
        if len(left) == len(keys):
            known = ", ".join(key.name for key in keys) or "none"
            raise InvalidInputError(f"{path} has no key {name!r}; there are: {known}")
        _write(path, left)


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Lock the file's folder, so that two changes at the same time do not lose a key.

    A lock on the folder leaves no file behind. Windows cannot lock a folder.
    """
    if not path.parent.is_dir():
        raise InvalidInputError(f"{path.parent} is not a folder: make it, or choose another file")
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
    """Write the file with its owner and mode, so that a server can still read it."""
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
