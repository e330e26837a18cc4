"""Calls that change the documents of an index."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rerank_search.arguments import id_list
from rerank_search.client.call import (
    NDJSON,
    Call,
    check_filter,
    in_parts,
    path_of_index,
    post,
)
from rerank_search.errors import InvalidDocumentError
from rerank_search.storage.records import Record, checked, document_list
from rerank_search.types import Document, Filter, JsonValue

IDS_AT_ONCE = 10_000
"""Largest number of ids in a request."""

BATCH_DOCUMENTS, BATCH_BYTES = 2_000, 2 * 2**20
"""Largest upload in a request: a CPU encodes it within the timeout, and it can be sent again."""


@dataclass(frozen=True, slots=True)
class Upload:
    """The server's answer to a batch; ``reasons`` have lines, counted from 1, and their errors."""

    first: int
    documents: int
    written: int
    failed: int
    reasons: Sequence[tuple[int, str]]


class Uploads:
    """Documents as calls of some MB each: ``add`` returns one when it is full, ``rest`` the last.

    ``add`` raises what ``Index.add`` raises for a document.
    """

    def __init__(self, index: str | None) -> None:
        self._path = f"{path_of_index(index)}/documents"
        self._lines: list[bytes] = []
        self._count = self._first = self._size = 0

    def add(self, document: Document) -> Call[Upload] | None:
        """Take one more document; returns the call for those before it, if they fill one."""
        line = _line(checked(document, self._count))
        full = len(self._lines) >= BATCH_DOCUMENTS or self._size + len(line) > BATCH_BYTES
        call = self.rest() if full else None
        self._lines.append(line)
        self._size += len(line)
        self._count += 1
        return call

    def rest(self) -> Call[Upload] | None:
        """The call for the documents that are not in a call yet, if there are any."""
        if not self._lines:
            return None
        call = _upload(self._path, self._first, self._lines)
        self._lines, self._first, self._size = [], self._count, 0
        return call


def uploads(index: str | None, documents: Iterable[Document]) -> Iterator[Call[Upload]]:
    """Send the documents, some MB in each call. Raises what ``Index.add`` raises for them."""
    waiting = Uploads(index)
    for document in document_list(documents):
        if (call := waiting.add(document)) is not None:
            yield call
    if (call := waiting.rest()) is not None:
        yield call


async def uploads_async(
    index: str | None, documents: Iterable[Document] | AsyncIterable[Document]
) -> AsyncIterator[Call[Upload]]:
    """``uploads``, also for documents that come asynchronously."""
    if not isinstance(documents, AsyncIterable):
        for call in uploads(index, documents):
            yield call
        return
    waiting = Uploads(index)
    async for document in documents:
        if (each := waiting.add(document)) is not None:
            yield each
    if (each := waiting.rest()) is not None:
        yield each


def _line(record: Record) -> bytes:
    fields: dict[str, JsonValue] = {"id": record.id, "title": record.title, "text": record.text}
    if record.vector is not None:
        fields["vector"] = memoryview(record.vector).cast("f").tolist()
    # The metadata of a record is JSON already.
    return (
        json.dumps(fields, ensure_ascii=False)[:-1] + f', "metadata": {record.metadata}}}\n'
    ).encode()


def _upload(path: str, first: int, lines: Sequence[bytes]) -> Call[Upload]:
    count = len(lines)

    def read(answer: Any) -> Upload:
        reasons = [(each["line"], each["error"]) for each in answer["errors"]]
        return Upload(first, count, answer["written"], answer["failed"], reasons)

    return Call("POST", path, read, b"".join(lines), NDJSON)


def written_with(before: int, upload: Upload) -> int:
    """The number of documents written up to this batch. Raises InvalidDocumentError."""
    total = before + upload.written
    if not upload.failed:
        return total
    shown = [f"document {upload.first + line - 1}: {why}" for line, why in upload.reasons[:3]]
    raise InvalidDocumentError(
        f"{upload.failed:,} of the documents {upload.first:,} to "
        f"{upload.first + upload.documents - 1:,} were not stored ({'; '.join(shown)}). {total:,} "
        "others were written, and none after these was sent. Fix them, and add all again"
    )


def deletions(index: str | None, ids: Iterable[str | int]) -> Iterator[Call[int]]:
    """Delete by id, some in each call. Raises InvalidInputError."""
    path = f"{path_of_index(index)}/delete"
    for part in in_parts(id_list(ids), IDS_AT_ONCE):
        yield post(path, {"ids": list(part)}, _deleted)


@dataclass(frozen=True, slots=True)
class Deletion:
    """How many documents a filter has deleted, and warnings about the filter."""

    deleted: int
    warnings: Sequence[str]


def deletion(index: str | None, filter: Filter) -> Call[Deletion]:
    """Delete the documents that the filter allows. Raises InvalidInputError."""

    def read(answer: Any) -> Deletion:
        return Deletion(_deleted(answer), answer.get("warnings") or ())

    return post(f"{path_of_index(index)}/delete", {"filter": check_filter(filter)}, read)


def _deleted(answer: Any) -> int:
    count: int = answer["deleted"]
    return count
