"""Scores that are kept: a pair which a model has scored once is never scored by it again."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rerank_search.files import disk_errors
from rerank_search.reranking.base import Reranker, Scores
from rerank_search.reranking.calls import scored

PAIRS_AT_ONCE = 512
"""Pairs after which scores are stored: what an interruption costs at most."""

_LOOKED_UP = 500

Pair = tuple[str, str]
Item = TypeVar("Item")


class ScoreCache:
    """The logits of one reranker, in ``folder``, by the hash of query and text.

    Only a reranker that says what its logits follow from (``fingerprint``) is remembered; any
    other is asked each time. Processes may share a folder. ``asked`` counts the pairs that were
    wanted, ``computed`` those that the model had to score.
    """

    def __init__(self, folder: Path, reranker: Reranker) -> None:
        self._reranker = reranker
        self.asked = self.computed = 0
        identity = getattr(reranker, "fingerprint", None)
        self._database = None if identity is None else _opened(folder / f"scores-{identity}.sqlite")

    def scored(
        self, pairs: Sequence[Pair], progress: Callable[[int], None] = lambda _: None
    ) -> Scores:
        """Raw logits of the pairs and which of them were cut, as ``score_with_report``.

        ``progress`` is called with numbers of pairs that are through, which add up to all.
        Raises RerankError.
        """
        keys = [_key(pair) for pair in pairs]
        known = self._known(dict.fromkeys(keys))
        missing = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in known}
        self.asked += len(pairs)
        self.computed += len(missing)
        progress(len(pairs) - len(missing))
        # Pairs of like length together waste no padding.
        new = sorted(missing.items(), key=lambda entry: sum(map(len, entry[1])))
        for chunk in _chunks(new, PAIRS_AT_ONCE):
            scores = scored(self._reranker, [pair for _, pair in chunk])
            rows = [
                (key, value, cut)
                for (key, _), value, cut in zip(
                    chunk, scores.values.tolist(), scores.truncated.tolist(), strict=True
                )
            ]
            self._keep(rows)
            known.update((key, (value, cut)) for key, value, cut in rows)
            progress(len(chunk))
        values = np.array([known[key][0] for key in keys], dtype=np.float32)
        truncated: NDArray[np.bool_] = np.array([known[key][1] for key in keys], dtype=np.bool_)
        return Scores(values, truncated, [None] * len(keys))

    def close(self) -> None:
        """Close the file; harmless to repeat."""
        if self._database is not None:
            self._database.close()

    def _known(self, keys: Iterable[bytes]) -> dict[bytes, tuple[float, bool]]:
        found: dict[bytes, tuple[float, bool]] = {}
        if self._database is None:
            return found
        for chunk in _chunks(list(keys), _LOOKED_UP):
            places = ",".join("?" * len(chunk))
            rows = self._database.execute(
                f"SELECT pair, logit, truncated FROM scores WHERE pair IN ({places})", chunk
            )
            found.update((key, (logit, bool(cut))) for key, logit, cut in rows)
        return found

    def _keep(self, rows: Sequence[tuple[bytes, float, bool]]) -> None:
        if self._database is not None:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?)", rows)


def _opened(path: Path) -> sqlite3.Connection:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=60)
    database.execute("PRAGMA journal_mode = WAL")
    # What a power cut takes can be computed again; a killed process loses nothing.
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(
        "CREATE TABLE IF NOT EXISTS scores "
        "(pair BLOB PRIMARY KEY, logit REAL NOT NULL, truncated INTEGER NOT NULL) WITHOUT ROWID"
    )
    return database


def _key(pair: Pair) -> bytes:
    query, text = (side.encode("utf-8", "surrogatepass") for side in pair)
    return hashlib.blake2b(len(query).to_bytes(8, "little") + query + text, digest_size=16).digest()


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
