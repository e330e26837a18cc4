"""Documents, and what has to be the same wherever models are computed."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from rerank_search.types import Document


def documents(count: int) -> list[Document]:
    rng = np.random.default_rng(0)
    words = ["king", "queen", "garden", "village", "old", "river"]
    return [
        Document(str(number), " ".join(rng.choice(words, rng.integers(1, 800))))
        for number in range(count)
    ]


def vectors(index: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((index / "dense").glob("*.npy"))]


def runs(folder: Path) -> dict[str, str]:
    found = {path.name: path.read_text() for path in folder.rglob("*.trec")}
    assert found
    return found


def scores(cache: Path) -> list[tuple[bytes, float, int]]:
    [file] = cache.glob("scores-*.sqlite")
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute("SELECT * FROM scores ORDER BY pair").fetchall()
    assert rows
    return rows
