"""Changes within one transaction of the document store."""

from __future__ import annotations

import json
import sqlite3

from rerank_search.storage import path_values
from rerank_search.storage.attributes import attributes
from rerank_search.storage.passages import Split
from rerank_search.storage.records import Record


class Batch:
    """Changes within one transaction; each takes the next number of the sequence."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        path_values.make_current(connection)
        row = connection.execute("SELECT seq, last_document, last_passage FROM state").fetchone()
        self._seq, self._document, self._passage = row

    def put(
        self,
        relabelled: list[tuple[int, Record]],
        rewritten: list[tuple[int, Record, Split]],
    ) -> None:
        """Write documents (key, record) whole (key 0 if new), or only their new metadata."""
        labels = []
        for pk, record in relabelled:
            self._seq += 1
            labels.append((self._seq, record.metadata, pk))
        labelled = list(relabelled)
        documents, passages, gone, vectors = [], [], [], []
        added = 0
        for old, record, split in rewritten:
            self._seq += 1
            if old:
                gone.append((self._seq, old))
            else:
                self._document += 1
                added += 1
            pk = old or self._document
            documents.append(
                (pk, record.id, self._seq, split.head, record.title, record.metadata, record.text)
            )
            labelled.append((pk, record))
            if record.vector is not None:
                vectors.append((pk, record.vector))
            for span in split.spans:
                self._passage += 1
                passages.append((self._passage, pk, self._seq, *(span or (None, None))))
        self._connection.executemany(
            "UPDATE documents SET seq = ?, metadata = ? WHERE pk = ?", labels
        )
        dropped = self._drop_passages(gone)
        self._connection.executemany(
            "INSERT OR REPLACE INTO documents (pk, id, seq, head, title, metadata, text) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            documents,
        )
        self._connection.executemany("INSERT INTO passages VALUES (?, ?, ?, ?, ?)", passages)
        if vectors:
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", vectors)
        self._label(labelled)
        self._finish(added, len(passages) - dropped)

    def delete(self, keys: list[int], *, vectors: bool) -> None:
        """Delete documents by their keys, and their ``vectors`` if they have their own."""
        gone = []
        for pk in keys:
            self._seq += 1
            gone.append((self._seq, pk))
        dropped = self._drop_passages(gone)
        rows = [(pk,) for pk in keys]
        for table in ("attributes", "path_values", *(["vectors"] if vectors else [])):
            self._connection.executemany(f"DELETE FROM {table} WHERE document = ?", rows)
        self._connection.executemany("DELETE FROM documents WHERE pk = ?", rows)
        self._finish(-len(keys), -dropped)

    def _drop_passages(self, gone: list[tuple[int, int]]) -> int:
        self._connection.executemany(
            "INSERT INTO removed SELECT id, ? FROM passages WHERE document = ?", gone
        )
        rows = [(pk,) for _, pk in gone]
        cursor = self._connection.executemany("DELETE FROM passages WHERE document = ?", rows)
        return max(cursor.rowcount, 0)

    def _label(self, documents: list[tuple[int, Record]]) -> None:
        for table in ("attributes", "path_values"):
            self._connection.executemany(
                f"DELETE FROM {table} WHERE document = ?", [(pk,) for pk, _ in documents]
            )
        self._connection.executemany(
            "INSERT OR IGNORE INTO attributes (key, kind, value, member, document) "
            "VALUES (?, ?, ?, ?, ?)",
            (
                (*attribute, pk)
                for pk, record in documents
                for attribute in attributes(json.loads(record.metadata))
            ),
        )
        path_values.store(self._connection, ((pk, record.metadata) for pk, record in documents))

    def _finish(self, documents: int, passages: int) -> None:
        self._connection.execute(
            "UPDATE state SET seq = ?, last_document = ?, last_passage = ?, "
            "documents = documents + ?, passages = passages + ?",
            (self._seq, self._document, self._passage, documents, passages),
        )
        self._connection.execute("UPDATE path_state SET seq = ?", (self._seq,))
