"""Calls of the HTTP API: what is sent, and what an answer to it says in this library's types."""

from __future__ import annotations

import json
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from datetime import datetime
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args
from urllib.parse import quote

from rerank_search.arguments import id_list, real_number, whole_number
from rerank_search.errors import InvalidDocumentError, InvalidFilterError, InvalidInputError
from rerank_search.queries import check_excluded, check_text, query_list, text_list
from rerank_search.shown import shown
from rerank_search.storage.records import Record, checked, document_list
from rerank_search.types import Document, Filter, Hit, JsonValue, ReturnedText, SearchResponse

if TYPE_CHECKING:
    from rerank_search.reranking.base import LongDocuments

Result = TypeVar("Result")
Item = TypeVar("Item")

QUERIES_AT_ONCE = 32
CANDIDATES_AT_ONCE = 20_000
"""Of all queries of a request: what a server takes."""

IDS_AT_ONCE = 10_000
BATCH_DOCUMENTS, BATCH_BYTES = 2_000, 2 * 2**20
"""What one request has: it is encoded within the timeout on a CPU, and can be sent again."""

JSON, NDJSON = "application/json", "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class ServedIndex:
    """An index of a server, and what it holds."""

    name: str
    documents: int
    passages: int
    first_stages: tuple[str, ...]
    encoder: str | None
    analyzer: str
    created: datetime


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A reranker of a server; what it does not say of one is None."""

    name: str
    max_length: int | None
    backend: str | None
    dtype: str | None


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """A request, and how its answer is read.

    One that is not ``repeatable`` must not reach the server twice.
    """

    method: str
    path: str
    read: Callable[[Any], Result]
    content: bytes | None = None
    media: str = JSON
    repeatable: bool = True

    @property
    def headers(self) -> dict[str, str]:
        """What the body is."""
        return {} if self.content is None else {"Content-Type": self.media}


def _post(path: str, body: object, read: Callable[[Any], Result]) -> Call[Result]:
    return Call("POST", path, read, _json(body))


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"an argument cannot be sent as JSON ({error}): use strings, numbers, bools, None, and "
            "lists and dicts of these"
        ) from error


def _plain(value: object) -> JsonValue:
    """NumPy numbers, sets and other mappings as JSON's own types."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"{shown(value)} has no place in JSON")


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


# Searching


def searches(
    index: str | None,
    queries: Iterable[str],
    *,
    top_k: int,
    candidates: int,
    first_stage: str | None,
    filter: Filter | None,
    rerank: bool,
    budget_ms: float | None,
    min_relevance: float | None,
    model: str | None,
    text: ReturnedText,
) -> Iterator[Call[list[SearchResponse]]]:
    """Search for some of the queries after the other. Raises InvalidInputError."""
    queries = query_list(queries)
    top_k = whole_number("top_k", top_k)
    candidates = whole_number("candidates", candidates)
    if budget_ms is not None:
        budget_ms = real_number("budget_ms", budget_ms, above=0)
    if min_relevance is not None:
        min_relevance = real_number("min_relevance", min_relevance, least=0, most=1)
    if not rerank:
        check_excluded(
            "rerank=False", budget_ms=budget_ms, min_relevance=min_relevance, model=model
        )
    options: dict[str, JsonValue] = {
        "index": index,
        "top_k": top_k,
        "candidates": candidates,
        "first_stage": first_stage,
        "filter": None if filter is None else _checked(filter),
        "rerank": rerank,
        "budget_ms": budget_ms,
        "min_relevance": min_relevance,
        "model": model,
    }
    if text not in get_args(ReturnedText):
        raise InvalidInputError(
            f"text={shown(text)} is unknown; use {', '.join(map(repr, get_args(ReturnedText)))}"
        )
    if text != "full":  # which older servers do not know by that name
        options["text"] = text
    most = CANDIDATES_AT_ONCE // max(top_k, candidates, 1)
    for part in _parts(queries, max(1, min(QUERIES_AT_ONCE, most))):
        yield _post("/v1/search", {**options, "queries": list(part)}, _responses)


def _responses(answer: Any) -> list[SearchResponse]:
    return [
        SearchResponse(
            query=each["query"],
            hits=[_hit(hit) for hit in each["hits"]],
            first_stage=each["first_stage"],
            candidates=each["candidates"],
            reranked=each["reranked"],
            reranked_count=each["reranked_count"],
            truncated=each["truncated"],
            timings=each["timings"],
            degraded=each.get("degraded"),
            warnings=tuple(answer.get("warnings") or ()),
        )
        for each in answer["results"]
    ]


def _hit(found: Any) -> Hit:
    document, span = found.get("document"), found.get("span")
    return Hit(
        id=found["id"],
        score=found["score"],
        rank=found["rank"],
        document=None
        if document is None
        else Document(
            found["id"], document.get("text", ""), document["title"], document["metadata"]
        ),
        stage_scores=found["stage_scores"],
        span=None if span is None else (span[0], span[1]),
        relevance=found.get("relevance"),
    )


# Reranking


def ranking(
    query: str,
    texts: Iterable[str],
    *,
    top_k: int,
    long_documents: LongDocuments,
    model: str | None,
) -> Call[list[Hit]] | None:
    """Rank the texts, or None where there is nothing to rank. Raises InvalidInputError."""
    top_k = whole_number("top_k", top_k)  # to the API, 0 is all
    check_text(query, "the query")
    given = text_list(texts)
    if not query.strip() or not given:
        return None

    def hits(answer: Any) -> list[Hit]:
        return [
            Hit(
                id=str(each["index"]),
                score=each["relevance_score"],
                rank=rank,
                document=Document(str(each["index"]), given[each["index"]]),
            )
            for rank, each in enumerate(answer["results"], start=1)
        ]

    body = {
        "model": model,
        "query": query,
        "documents": given,
        "top_n": top_k,
        "long_documents": long_documents,
    }
    return _post("/v2/rerank", body, hits)


def models() -> Call[list[ServedModel]]:
    """List the rerankers."""
    return Call("GET", "/v1/models", _models)


def _models(answer: Any) -> list[ServedModel]:
    return [
        ServedModel(each["id"], each.get("max_length"), each.get("backend"), each.get("dtype"))
        for each in answer["data"]
    ]


# Indexes


def indexes() -> Call[list[ServedIndex]]:
    """List the indexes."""
    return Call("GET", "/v1/indexes", lambda answer: [_index(each) for each in answer["indexes"]])


def creation(name: str, *, encoder: str | None, analyzer: str) -> Call[ServedIndex]:
    """Make an index. Raises InvalidInputError."""
    body = _json({"encoder": encoder, "analyzer": analyzer})
    # An answer that was lost would come back as IndexExistsError.
    return Call("PUT", _path(name), _index, body, repeatable=False)


def _index(answer: Any) -> ServedIndex:
    return ServedIndex(
        name=answer["name"],
        documents=answer["documents"],
        passages=answer["passages"],
        first_stages=tuple(answer["first_stages"]),
        encoder=answer.get("encoder"),
        analyzer=answer["analyzer"],
        created=datetime.fromisoformat(answer["created"]),
    )


def _path(index: str | None) -> str:
    """Of an index that is to be changed: it is named, as the only one may not be the one meant."""
    if not index:
        raise InvalidInputError("name the index that is to be changed: Client(base_url, index)")
    return f"/v1/indexes/{quote(index_name(index), safe='')}"


def index_name(given: object) -> str:
    """The name of an index. Raises InvalidInputError for anything but a string."""
    if not isinstance(given, str):
        raise InvalidInputError(f"index={shown(given)} is not a name: give that of an index")
    check_text(given, "the name of the index")
    return given


# Documents


@dataclass(frozen=True, slots=True)
class Upload:
    """What the server says of a batch; ``failed`` has lines, counted from 1, and reasons."""

    first: int
    documents: int
    written: int
    failed: int
    reasons: Sequence[tuple[int, str]]


class Uploads:
    """Documents as calls of some MB each: ``add`` gives one when it is full, ``rest`` the last.

    ``add`` raises what ``Index.add`` raises of a document.
    """

    def __init__(self, index: str | None) -> None:
        self._path = f"{_path(index)}/documents"
        self._lines: list[bytes] = []
        self._count = self._first = self._size = 0

    def add(self, document: Document) -> Call[Upload] | None:
        """Take one more document; the call for those before it, where they fill one."""
        line = _line(checked(document, self._count))
        full = len(self._lines) >= BATCH_DOCUMENTS or self._size + len(line) > BATCH_BYTES
        call = self.rest() if full else None
        self._lines.append(line)
        self._size += len(line)
        self._count += 1
        return call

    def rest(self) -> Call[Upload] | None:
        """The call for those that none was made for, if there are any."""
        if not self._lines:
            return None
        call = _upload(self._path, self._first, self._lines)
        self._lines, self._first, self._size = [], self._count, 0
        return call


def uploads(index: str | None, documents: Iterable[Document]) -> Iterator[Call[Upload]]:
    """Send the documents, some MB after the other. Raises what ``Index.add`` raises of them."""
    waiting = Uploads(index)
    for document in document_list(documents):
        if (call := waiting.add(document)) is not None:
            yield call
    if (call := waiting.rest()) is not None:
        yield call


async def uploads_async(
    index: str | None, documents: Iterable[Document] | AsyncIterable[Document]
) -> AsyncIterator[Call[Upload]]:
    """The same, also of documents that come asynchronously."""
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
    strings = {"id": record.id, "title": record.title, "text": record.text}
    # The metadata are JSON text already.
    return (
        json.dumps(strings, ensure_ascii=False)[:-1] + f', "metadata": {record.metadata}}}\n'
    ).encode()


def _upload(path: str, first: int, lines: Sequence[bytes]) -> Call[Upload]:
    count = len(lines)

    def read(answer: Any) -> Upload:
        reasons = [(each["line"], each["error"]) for each in answer["errors"]]
        return Upload(first, count, answer["written"], answer["failed"], reasons)

    return Call("POST", path, read, b"".join(lines), NDJSON)


def written(before: int, upload: Upload) -> int:
    """How many documents are written with this batch. Raises InvalidDocumentError for failures."""
    total = before + upload.written
    if not upload.failed:
        return total
    shown = [f"document {upload.first + line - 1}: {why}" for line, why in upload.reasons[:3]]
    raise InvalidDocumentError(
        f"{upload.failed:,} of the documents {upload.first:,} to "
        f"{upload.first + upload.documents - 1:,} were not stored ({'; '.join(shown)}). {total:,} "
        "others were written, and none after these was sent: fix them, and add all again"
    )


def deletions(index: str | None, ids: Iterable[str | int]) -> Iterator[Call[int]]:
    """Delete by id, some after the other. Raises InvalidInputError."""
    path = f"{_path(index)}/delete"
    for part in _parts(id_list(ids), IDS_AT_ONCE):
        yield _post(path, {"ids": list(part)}, _deleted)


@dataclass(frozen=True, slots=True)
class Deletion:
    """How many documents a filter has deleted, and what it names and none has."""

    deleted: int
    warnings: Sequence[str]


def deletion(index: str | None, filter: Filter) -> Call[Deletion]:
    """Delete what the filter allows. Raises InvalidInputError."""

    def read(answer: Any) -> Deletion:
        return Deletion(_deleted(answer), answer.get("warnings") or ())

    return _post(f"{_path(index)}/delete", {"filter": _checked(filter)}, read)


def _checked(filter: Filter) -> Filter:
    """The filter, if it is a mapping; the server checks what is in it."""
    if not isinstance(filter, Mapping):
        raise InvalidFilterError(
            f"a filter is a mapping such as {{'module': 'os'}}, not {shown(filter)}"
        )
    return filter


def _deleted(answer: Any) -> int:
    count: int = answer["deleted"]
    return count
