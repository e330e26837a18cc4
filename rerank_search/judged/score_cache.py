"""Stored scores: a model never scores the same pair twice."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from rerank_search.errors import IndexCorruptedError
from rerank_search.files import disk_errors, make_folder
from rerank_search.reranking.base import Reranker, Scores
from rerank_search.reranking.calls import scored
from rerank_search.storage.files import storage_errors

PAIRS_AT_ONCE = 512
"""Pairs scored before they are stored: the most an interruption costs, some seconds on a CPU."""

_LOOKED_UP = 500
_LARGEST = float(np.finfo(np.float32).max)
_TABLE = (
    "CREATE TABLE IF NOT EXISTS scores "
    "(pair BLOB PRIMARY KEY, logit REAL NOT NULL, truncated INTEGER NOT NULL) WITHOUT ROWID"
)

Pair: TypeAlias = tuple[str, str]
Row: TypeAlias = tuple[bytes, float, bool]
Item = TypeVar("Item")

logger = logging.getLogger(__name__)


class ScoreCache:
    """The logits of one reranker, in ``folder``, by the hash of instruction, query and text.

    Only scores of a reranker with a ``fingerprint`` of what decides its logits are stored; any
    other reranker scores each time. Processes may share a folder. A damaged file is renamed to
    ``NAME.damaged`` and replaced by a new one; a file that cannot be written is only read.
    ``asked`` counts the pairs that were wanted, ``computed`` those that the model had to score.
    """

    def __init__(self, folder: Path, reranker: Reranker, *, instruction: str | None = None) -> None:
        self._reranker, self._instruction = reranker, instruction
        self.asked = self.computed = 0
        identity = getattr(reranker, "fingerprint", None)
        self._file = None if identity is None else _ScoreFile(folder / f"scores-{identity}.sqlite")

    def scored(
        self, pairs: Sequence[Pair], progress: Callable[[float], None] = lambda _: None
    ) -> Scores:
        """Raw logits of the pairs and which of them were cut, as ``score_with_report``.

        ``progress`` is called with numbers of finished pairs, which add up to all of them.
        Raises RerankError, StorageFullError, and IndexLockedError if another process locks the
        file for a minute.
        """
        keys = [_key(pair, self._instruction) for pair in pairs]
        known = self._known(keys)
        missing = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in known}
        self.asked += len(pairs)
        self.computed += len(missing)
        progress(len(pairs) - len(missing))
        for chunk in _calls(missing):
            scores = scored(
                self._reranker, [pair for _, pair in chunk], instruction=self._instruction
            )
            rows = [
                (key, value, cut)
                for (key, _), value, cut in zip(
                    chunk, scores.values.tolist(), scores.truncated.tolist(), strict=True
                )
            ]
            if self._file is not None:
                self._file.keep(rows)
            known.update((key, (value, cut)) for key, value, cut in rows)
            progress(len(chunk))
        values = np.array([known[key][0] for key in keys], dtype=np.float32)
        truncated: NDArray[np.bool_] = np.array([known[key][1] for key in keys], dtype=np.bool_)
        return Scores(values, truncated, [None] * len(keys))

    def knows(self, pairs: Sequence[Pair]) -> bool:
        """Whether the scores of all these pairs are stored."""
        keys = [_key(pair, self._instruction) for pair in pairs]
        return self._known(keys).keys() >= set(keys)

    @property
    def foresees(self) -> bool:
        """Whether the reranker computes elsewhere, and gains by being told all pairs first."""
        return hasattr(self._reranker, "foresee")

    def foresee(self, lists: Iterable[Sequence[Pair]]) -> None:
        """Tell such a reranker what ``scored`` will ask of it for these lists, in their order."""
        if self.foresees:
            reranker: Any = self._reranker
            reranker.foresee(self._foreseen(lists), instruction=self._instruction)

    def _foreseen(self, lists: Iterable[Sequence[Pair]]) -> Iterator[list[Pair]]:
        asked: set[bytes] = set()
        for pairs in lists:
            keyed = {_key(pair, self._instruction): pair for pair in pairs}
            known = self._known(list(keyed))
            missing = {
                key: pair for key, pair in keyed.items() if key not in known and key not in asked
            }
            asked.update(missing)
            for chunk in _calls(missing):
                yield [pair for _, pair in chunk]

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, tuple[float, bool]]:
        return {} if self._file is None else self._file.known(list(dict.fromkeys(keys)))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file is not None:
            self._file.close()


class _ScoreFile:
    """The rows of one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writable = True
        self._database: sqlite3.Connection | None = None
        self._inode: int | None = None

    def known(self, keys: Sequence[bytes]) -> dict[bytes, tuple[float, bool]]:
        """Logit, and whether the pair was cut, of those keys that are stored."""
        return self._done(partial(_selected, keys=keys))

    def keep(self, rows: Sequence[Row]) -> None:
        """Store the rows, unless the file cannot be written."""
        if self._writable:
            self._done(partial(_inserted, rows=rows))

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _done(self, action: Callable[[sqlite3.Connection], Item]) -> Item:
        """The result of the action; if the file is damaged, the result with a new one."""
        try:
            return self._tried(action)
        except IndexCorruptedError as error:
            self._move_aside(error.__cause__)
            return self._tried(action)

    def _tried(self, action: Callable[[sqlite3.Connection], Item]) -> Item:
        with storage_errors(self._path):
            if self._database is None:
                self._database = self._opened()
            return action(self._database)

    def _opened(self) -> sqlite3.Connection:
        folder = self._path.parent
        make_folder(folder)
        self._writable = os.access(folder, os.W_OK) and (
            not self._path.exists() or os.access(self._path, os.W_OK)
        )
        if not self._writable:
            logger.warning("%s cannot be written, so new scores are not stored", self._path)
            return _read_only(self._path)
        with self._locked():
            try:
                return _writable(self._path)
            finally:
                self._inode = _inode(self._path)

    def _move_aside(self, reason: BaseException | None) -> None:
        self.close()
        aside = self._path.with_name(f"{self._path.name}.damaged")
        with disk_errors(self._path), self._locked():
            if _inode(self._path) != self._inode:
                return  # another process has replaced it
            for suffix in ("-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            self._path.replace(aside)
        logger.warning(
            "%s is damaged (%s): it was renamed to %s, and its pairs are scored again",
            self._path,
            reason,
            aside.name,
        )

    def _locked(self) -> FileLock:
        """A lock for making or moving the file, which SQLite's own locks do not cover."""
        return FileLock(f"{self._path}.lock")


def _writable(path: Path) -> sqlite3.Connection:
    return _connected(
        f"{path.absolute().as_uri()}?mode=rwc",
        "PRAGMA journal_mode = WAL",
        # Scores lost in a power cut can be computed again; a killed process loses nothing.
        "PRAGMA synchronous = NORMAL",
        _TABLE,
    )


def _read_only(path: Path) -> sqlite3.Connection:
    """A connection to a file that cannot be written; to an empty database if there is none."""
    # "immutable" lets SQLite read a file where it cannot write its shared memory.
    for mode in ("ro", "ro&immutable=1"):
        with suppress(sqlite3.Error):
            uri = f"{path.absolute().as_uri()}?mode={mode}"
            return _connected(uri, "SELECT pair, logit, truncated FROM scores LIMIT 1")
    return _connected(":memory:", _TABLE)


def _connected(uri: str, *statements: str) -> sqlite3.Connection:
    database = sqlite3.connect(uri, uri=True, timeout=60)
    try:
        for statement in statements:
            database.execute(statement)
    except BaseException:
        database.close()
        raise
    return database


def _selected(
    database: sqlite3.Connection, keys: Sequence[bytes]
) -> dict[bytes, tuple[float, bool]]:
    found: dict[bytes, tuple[float, bool]] = {}
    for chunk in _chunks(keys, _LOOKED_UP):
        places = ",".join("?" * len(chunk))
        rows = database.execute(
            f"SELECT pair, logit, truncated FROM scores WHERE pair IN ({places})", chunk
        )
        found.update((key, (logit, bool(cut))) for key, logit, cut in rows if _is_score(logit))
    return found


def _inserted(database: sqlite3.Connection, rows: Sequence[Row]) -> None:
    with database:
        database.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?)", rows)


def _is_score(logit: object) -> bool:
    """Whether a stored value is finite in single precision; in a damaged file it may not be."""
    return isinstance(logit, float) and abs(logit) <= _LARGEST


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _key(pair: Pair, instruction: str | None) -> bytes:
    query, text = (side.encode("utf-8", "surrogatepass") for side in pair)
    # BLAKE2b takes at most 64 bytes as its key; without an instruction it has none.
    told = b"" if instruction is None else hashlib.sha256(instruction.encode()).digest()
    hashed = len(query).to_bytes(8, "little") + query + text
    return hashlib.blake2b(hashed, digest_size=16, key=told).digest()


def _calls(missing: Mapping[bytes, Pair]) -> Iterator[Sequence[tuple[bytes, Pair]]]:
    """The pairs as the reranker gets them: those of similar length together waste no padding."""
    yield from _chunks(
        sorted(missing.items(), key=lambda entry: sum(map(len, entry[1]))), PAIRS_AT_ONCE
    )


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
