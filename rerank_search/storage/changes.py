"""The changes of a document store as engines apply them: new passages, and removed ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from rerank_search.storage.passages import passage_text, title_part

BLOCK = 1_000
"""Changes in a block: the first is 1 to 1,000. Updates of a long ``add`` end with a block."""


def block_of(seq: int) -> int:
    """The number of the block that the change is in."""
    return -(-seq // BLOCK)


class StoredPassage(NamedTuple):
    """A passage as engines index it; ``document`` is the key of its document, ``seq`` its change.

    ``text`` begins with ``title``: the document's title, cut off where it is too long. ``vector``
    is the document's own, if it has one; see ``Record``.
    """

    id: int
    document: int
    text: str
    title: str
    seq: int
    vector: bytes | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes up to ``seq``: new passages, and removed passage ids."""

    seq: int
    added: Iterator[StoredPassage]
    removed: list[int]


@contextmanager
def changes_since(
    connection: sqlite3.Connection,
    since: int,
    *,
    most: int | None = None,
    until: int | None = None,
    vectors: bool = False,
) -> Iterator[Changes]:
    """The changes after ``since``, up to ``until``.

    With ``most``, whole blocks with about so many passages. ``vectors`` says whether documents have
    their own, which passages then have too.
    """
    if until is None:
        until = int(connection.execute("SELECT seq FROM state").fetchone()[0])
    if most is not None:
        row = connection.execute(
            "SELECT seq FROM passages WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?",
            (since, most - 1),
        ).fetchone()
        if row is not None:
            until = min(until, block_of(row[0]) * BLOCK)
    removed = connection.execute(
        "SELECT passage FROM removed WHERE seq > ? AND seq <= ? ORDER BY passage",
        (since, until),
    )
    gone = [passage for (passage,) in removed]
    # Closed, because an error in the block may keep the iterator, and with it the snapshot.
    with closing(_passages(connection, since, until, vectors=vectors)) as added:
        yield Changes(until, added, gone)


def _passages(
    connection: sqlite3.Connection, since: int, until: int, *, vectors: bool
) -> Generator[StoredPassage, None, None]:
    """The added passages, in the order in which they were added."""
    # Read the text of a split document once, not with each of its thousands of passages.
    own = "(SELECT vector FROM vectors v WHERE v.document = d.pk)" if vectors else "NULL"
    rows = connection.execute(
        'SELECT p.id, p.document, p.seq, p.start, p."end", d.head, d.title, '
        f"CASE WHEN p.start IS NULL THEN d.text END, {own} "
        "FROM passages p JOIN documents d ON d.pk = p.document "
        "WHERE p.seq > ? AND p.seq <= ? ORDER BY p.seq, p.id",
        (since, until),
    )
    previous, whole_text = 0, ""
    for passage, document, seq, start, end, head, title, text, vector in rows:
        span = None if start is None else (start, end)
        if span is None:
            whole_text = text
        elif document != previous:
            query = "SELECT text FROM documents WHERE pk = ?"
            (whole_text,) = connection.execute(query, (document,)).fetchone()
        previous = document
        indexed = passage_text(title, head, whole_text, span)
        own_title = title_part(title, head, span)
        yield StoredPassage(passage, document, indexed, own_title, seq, vector)
