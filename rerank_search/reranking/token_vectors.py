"""Token vectors of texts on disk, so that a text is encoded once for many searches."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rerank_search.remembered import key_of

StoredDtype: TypeAlias = Literal["float32", "float16"]

FOLDER = "token-vectors"
"""The folder of all models' token vectors, below the cache folder."""

SUFFIX = ".vectors"

LEFT = 0.9
"""Share of the limit that is left when the least recently used files are deleted."""

CHECKED_AFTER = 0.05
"""Share of the limit that a process writes before it measures the folder again."""

_DIGEST = 16

logger = logging.getLogger(__name__)


class TokenVectors:
    """The token vectors of one model's texts, a file for each text in ``folder``.

    The models of all folders beside it keep at most ``most`` bytes: above that, the files that were
    not used for longest are deleted. Processes and threads may share the folder; each may exceed
    the limit by a twentieth for a while. A damaged file counts as missing. If the disk is full, or
    cannot be written, a warning says so once and nothing more is kept.
    """

    def __init__(self, folder: Path, *, most: int, dtype: StoredDtype) -> None:
        self._folder, self._root = folder, folder.parent
        self._most = most
        self._dtype = np.dtype(dtype)
        self._lock = threading.Lock()
        self._written: int | None = None
        self._broken = not most

    def get(self, text: str) -> NDArray[np.float32] | None:
        """The vectors, shape (tokens, d); None if they are not there."""
        if self._broken:
            return None
        path = self._path(text)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        digest, data = content[:_DIGEST], content[_DIGEST:]
        if _digest(data) != digest:
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):  # marks it as used; another process may have deleted it
            os.utime(path)
        width = int.from_bytes(data[:4], "little")
        numbers = np.frombuffer(data, self._dtype, offset=4)
        return numbers.reshape(-1, width).astype(np.float32)

    def put(self, text: str, vectors: NDArray[np.float32]) -> None:
        """Keep the vectors of a text."""
        if self._broken:
            return
        data = vectors.shape[1].to_bytes(4, "little") + vectors.astype(self._dtype).tobytes()
        if len(data) > self._most:
            return
        path = self._path(text)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                temporary = Path(file.name)
                try:
                    file.write(_digest(data) + data)
                    file.close()
                    temporary.replace(path)
                except BaseException:
                    temporary.unlink(missing_ok=True)
                    raise
            self._keep_limit(len(data) + _DIGEST)
        except OSError as error:
            self._broken = True
            logger.warning(
                "token vectors cannot be kept in %s (%s): texts are encoded again each time",
                self._root,
                error,
            )

    def _keep_limit(self, written: int) -> None:
        with self._lock:
            if self._written is not None:
                self._written += written
                if self._written < CHECKED_AFTER * self._most:
                    return
            self._written = 0
            files = sorted(_files(self._root))
            total = sum(size for _, size, _ in files)
            if total <= self._most:
                return
            for _, size, path in files:
                if total <= LEFT * self._most:
                    break
                with suppress(OSError):
                    Path(path).unlink()
                total -= size

    def _path(self, text: str) -> Path:
        key = key_of(text).hex()
        return self._folder / key[:2] / f"{key[2:]}{SUFFIX}"


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


def _files(root: Path) -> list[tuple[int, int, str]]:
    """When each file was used last (nanoseconds), its size, and its path."""
    found = []
    for path in root.rglob("*"):
        with suppress(OSError):  # another process may have deleted it
            if path.is_file():
                about = path.stat()
                found.append((about.st_mtime_ns, about.st_size, str(path)))
    return found
