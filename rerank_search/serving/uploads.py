"""Uploads of documents: as one JSON object, or as NDJSON, which is stored while it comes in."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Request
from pydantic import ValidationError

from rerank_search.corpora.lines import VectorColumn
from rerank_search.corpora.readers import json_lines
from rerank_search.serving.body import BYTE_ORDER_MARK, STREAMED, media_type
from rerank_search.serving.errors import ApiError
from rerank_search.serving.limits import Limits, too_large
from rerank_search.serving.schemas.indexes import LineError, Upsert, UpsertAnswer
from rerank_search.serving.service import Service
from rerank_search.serving.strict_json import strict_json
from rerank_search.serving.threads import Threads
from rerank_search.serving.validation import invalid
from rerank_search.types import Document
from rerank_search.vectors import encoded

ERRORS_SHOWN = 100
"""Largest number of invalid lines that an answer describes; it counts all of them."""

BATCH_BYTES = 4 * 2**20
"""Size of the lines that are stored together, while the next ones come in."""


async def upsert(request: Request, service: Service, name: str, threads: Threads) -> UpsertAnswer:
    """Store the documents in a request's body. Raises ApiError, and what Index.add raises."""
    kind = media_type(request.headers)
    if kind in STREAMED:
        return await _lines(request, service, name, threads)
    if kind != "application/json":
        raise ApiError(
            415,
            "unsupported_media",
            "send application/json, or application/x-ndjson with a document a line",
        )
    return await _whole(request, service, name, threads)


async def _whole(request: Request, service: Service, name: str, threads: Threads) -> UpsertAnswer:
    content = await request.body()

    def store() -> UpsertAnswer:
        documents = _documents(content, service.limits)
        with service.indexes.use(name) as index:
            return UpsertAnswer(written=index.add(documents))

    return await threads.write(store)


def _documents(content: bytes, limits: Limits) -> list[Document]:
    try:
        asked = Upsert.model_validate(strict_json(content, limits.json_levels))
    except ValidationError as error:
        raise invalid(error.errors(include_url=False)[0]) from None
    limits.check_texts("documents", [each.text for each in asked.documents], limits.documents)
    return [
        document if each.vector is None else encoded(document, each.vector)
        for each in asked.documents
        for document in [Document(each.id, each.text, each.title, each.metadata)]
    ]


async def _lines(request: Request, service: Service, name: str, threads: Threads) -> UpsertAnswer:
    most = service.limits.document_characters
    longest = 8 * most  # bytes of such a text, and as many again for title and metadata
    written = failed = done = 0
    errors: list[LineError] = []
    service.indexes.check(name)
    async for lines in _batches(request.stream(), longest):
        first = done + 1
        if first == 1:
            lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)

        def store(lines: list[bytes] = lines, first: int = first) -> tuple[int, list[LineError]]:
            documents, wrong = [], []
            with service.indexes.use(name) as index:
                vectors = None if index.dimension is None else VectorColumn(index.dimension)
            for number, record in json_lines(lines, first=first, vectors=vectors):
                if isinstance(record, str):
                    wrong.append(LineError(line=number, error=record))
                elif len(record.text) > most:
                    said = f"the text has {len(record.text):,} characters, {most:,} are allowed"
                    wrong.append(LineError(line=number, error=said))
                else:
                    documents.append(record)
            with service.indexes.use(name) as index:
                return index.add(documents), wrong

        more, wrong = await threads.write(store)
        written, failed, done = written + more, failed + len(wrong), done + len(lines)
        errors += wrong[: ERRORS_SHOWN - len(errors)]
    return UpsertAnswer(written=written, failed=failed, errors=errors)


async def _batches(parts: AsyncIterator[bytes], longest: int) -> AsyncIterator[list[bytes]]:
    """Whole lines, some MB at a time. Raises ApiError 413 for a line above ``longest`` bytes."""
    lines: list[bytes] = []
    begun: list[bytes] = []  # parts of a line that has not ended
    length = size = 0
    async for part in parts:
        size += len(part)
        whole: list[bytes] = []
        if b"\n" in part:
            *whole, rest = b"".join([*begun, part]).split(b"\n")
            begun, length = [rest], len(rest)
        else:
            begun.append(part)
            length += len(part)
        if max(length, *map(len, whole), 0) > longest:
            if lines:
                yield lines
            raise too_large(
                f"a line is longer than {longest:,} bytes: split its document. Lines well before "
                "it are stored"
            )
        lines += whole
        if size >= BATCH_BYTES and lines:
            yield lines
            lines, size = [], 0
    if length:
        lines.append(b"".join(begun))
    if lines:
        yield lines
