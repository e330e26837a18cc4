"""Documents that come in: a JSON object with all of them, or NDJSON, one a line, streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeVar

from fastapi import Request
from pydantic import ValidationError

from rerank_search.corpora.readers import json_lines
from rerank_search.serving.errors import ApiError
from rerank_search.serving.json import strict_json
from rerank_search.serving.limits import Limits, too_large
from rerank_search.serving.middleware import STREAMED, media_type
from rerank_search.serving.schemas import DocumentBody, LineError, Upsert, UpsertAnswer
from rerank_search.serving.service import Service
from rerank_search.serving.validation import invalid
from rerank_search.types import Document

Result = TypeVar("Result")

ERRORS_SHOWN = 100
"""Of the lines that were not taken; the others are counted."""

BATCH_BYTES = 4 * 2**20
"""Of lines that are stored at once, while the next ones come in."""

OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["documents"],
                    "additionalProperties": False,
                    "properties": {
                        "documents": {"type": "array", "items": DocumentBody.model_json_schema()}
                    },
                },
                "example": {"documents": [{"id": "a", "text": "Bread is baked from flour."}]},
            },
            "application/x-ndjson": {
                "schema": {
                    "type": "string",
                    "description": "A document a line, as in `documents`; `_id` may name the id, "
                    "and other keys are metadata.",
                },
            },
        },
    }
}


class InThread(Protocol):
    """Runs something in a thread."""

    def __call__(self, work: Callable[[], Result], /) -> Awaitable[Result]:
        """What it gives."""
        ...


async def upsert(
    request: Request, service: Service, name: str, in_thread: InThread
) -> UpsertAnswer:
    """Store the documents of a request's body. Raises ApiError and what Index.add raises."""
    kind = media_type(request.headers)
    if kind in STREAMED:
        return await _lines(request, service, name, in_thread)
    if kind != "application/json":
        raise ApiError(
            415, "unsupported_media", "send application/json, or application/x-ndjson line by line"
        )
    return await _whole(request, service, name, in_thread)


async def _whole(
    request: Request, service: Service, name: str, in_thread: InThread
) -> UpsertAnswer:
    content = await request.body()

    def store() -> UpsertAnswer:
        documents = _documents(content, service.limits)
        with service.indexes.use(name) as index:
            return UpsertAnswer(written=index.add(documents))

    return await in_thread(store)


def _documents(content: bytes, limits: Limits) -> list[Document]:
    try:
        asked = Upsert.model_validate(strict_json(content, limits.json_levels))
    except ValidationError as error:
        raise invalid(error.errors(include_url=False)[0]) from None
    limits.check_texts("documents", [each.text for each in asked.documents], limits.documents)
    return [Document(each.id, each.text, each.title, each.metadata) for each in asked.documents]


async def _lines(
    request: Request, service: Service, name: str, in_thread: InThread
) -> UpsertAnswer:
    most = service.limits.document_characters
    longest = 8 * most  # bytes that such a text may take, and as many of title and metadata
    written = failed = done = 0
    errors: list[LineError] = []
    service.indexes.check(name)
    async for lines in _batches(request.stream(), longest):
        first = done + 1

        def store(lines: list[bytes] = lines, first: int = first) -> tuple[int, list[LineError]]:
            documents, wrong = [], []
            for number, record in json_lines(lines, first=first):
                if isinstance(record, str):
                    wrong.append(LineError(line=number, error=record))
                elif len(record.text) > most:
                    said = f"the text has {len(record.text):,} characters, {most:,} are allowed"
                    wrong.append(LineError(line=number, error=said))
                else:
                    documents.append(record)
            with service.indexes.use(name) as index:
                return index.add(documents), wrong

        more, wrong = await in_thread(store)
        written, failed, done = written + more, failed + len(wrong), done + len(lines)
        errors += wrong[: ERRORS_SHOWN - len(errors)]
    return UpsertAnswer(written=written, failed=failed, errors=errors)


async def _batches(parts: AsyncIterator[bytes], longest: int) -> AsyncIterator[list[bytes]]:
    """Whole lines, some MB at a time. Raises ApiError 413 for one above ``longest`` bytes."""
    lines: list[bytes] = []
    begun: list[bytes] = []  # parts of a line that has not ended, joined once it has
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
            raise too_large(f"a line is above {longest:,} bytes; those well before it are stored")
        lines += whole
        if size >= BATCH_BYTES and lines:
            yield lines
            lines, size = [], 0
    if length:
        lines.append(b"".join(begun))
    if lines:
        yield lines
