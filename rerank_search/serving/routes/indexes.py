"""The routes of indexes and their documents."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter
from starlette.convertors import PathConvertor, register_url_convertor

from rerank_search.errors import RerankSearchError
from rerank_search.index import Index, IndexInfo
from rerank_search.index_names import NAME
from rerank_search.searchable import fused_stages
from rerank_search.searchable import matches as matched
from rerank_search.serving.dependencies import ServiceGiven, ThreadsGiven
from rerank_search.serving.errors import ApiError, api_error
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.limits import Limits
from rerank_search.serving.names import public_name
from rerank_search.serving.route_table import Facts, declared
from rerank_search.serving.schemas.indexes import (
    UPLOAD_BODY,
    DeleteAnswer,
    DeleteRequest,
    DocumentAnswer,
    DropAnswer,
    FindAnswer,
    FindRequest,
    IndexAnswer,
    IndexList,
    MatchesAnswer,
    MatchesRequest,
    NewIndex,
    UpsertAnswer,
)
from rerank_search.serving.served import Served
from rerank_search.serving.service import Service
from rerank_search.serving.strict_json import StrictJsonRoute
from rerank_search.serving.threads import Threads
from rerank_search.serving.uploads import upsert
from rerank_search.shown import shown
from rerank_search.types import Document


class _AnyText(PathConvertor):
    """The rest of a path, whatever is in it. Starlette's own ``path`` stops before a newline."""

    regex = "(?s:.*)"


register_url_convertor("any_text", _AnyText())

router = APIRouter(tags=["indexes"], route_class=StrictJsonRoute)

FOUND_AT_ONCE = 100
"""Number of documents read together for an answer of ``find``."""

_NewName = Annotated[str, PathParameter(json_schema_extra={"pattern": f"^{NAME}$"})]


@router.get("/v1/indexes", response_model_exclude_none=True)
async def indexes(request: Request, service: ServiceGiven, threads: ThreadsGiven) -> IndexList:
    """The indexes that are served."""
    return await threads.read(request, functools.partial(_listed, service.indexes))


@router.get("/v1/indexes/{name}", response_model_exclude_none=True)
async def index(
    request: Request, name: str, service: ServiceGiven, threads: ThreadsGiven
) -> IndexAnswer:
    """What an index holds."""
    return await threads.read(request, functools.partial(_described, service.indexes, name))


@router.put("/v1/indexes/{name}", status_code=201, response_model_exclude_none=True)
async def create(
    name: _NewName, service: ServiceGiven, threads: ThreadsGiven, asked: NewIndex | None = None
) -> IndexAnswer:
    """Make an empty index."""
    wanted = asked or NewIndex()

    def make() -> IndexAnswer:
        service.indexes.create(name, **wanted.model_dump())
        return _described(service.indexes, name)

    return await threads.write(make)


# No DELETE: clients and proxies resolve "..", and /v1/indexes/notes/documents/.. is the index.
@router.post("/v1/indexes/{name}/drop")
async def drop(name: str, service: ServiceGiven, threads: ThreadsGiven) -> DropAnswer:
    """Delete an index with all its documents, after the requests that use it."""

    def delete() -> DropAnswer:
        service.indexes.drop(name)
        return DropAnswer(dropped=name)

    return await threads.write(delete)


@router.post(
    "/v1/indexes/{name}/documents", response_model_exclude_none=True, openapi_extra=UPLOAD_BODY
)
@declared(Facts(streams=True))
async def add(
    request: Request, name: str, service: ServiceGiven, threads: ThreadsGiven
) -> UpsertAnswer:
    """Insert documents, or replace those with the same ids; they are durable when it returns."""
    return await upsert(request, service, name, threads)


@router.post("/v1/indexes/{name}/find", response_model=FindAnswer)
@declared(Facts(reads=True))
async def find(
    request: Request, name: str, asked: FindRequest, service: ServiceGiven, threads: ThreadsGiven
) -> Response:
    """Documents by a filter or by their ids, a page at a time."""

    def answer() -> bytes:
        """The JSON, written in the thread too: it may hold a thousand documents."""
        return _found(service, name, asked).model_dump_json(exclude_none=True).encode()

    return Response(await threads.read(request, answer), media_type="application/json")


@router.post("/v1/indexes/{name}/matches", response_model=MatchesAnswer)
@declared(Facts(reads=True))
async def matches(
    request: Request, name: str, asked: MatchesRequest, service: ServiceGiven, threads: ThreadsGiven
) -> Response:
    """Where in texts the words stand by which BM25 finds them for a query."""
    limits, size = service.limits, sum(map(len, asked.texts))
    limits.check_query(asked.query)
    limits.check_count("texts", len(asked.texts), limits.documents)
    limits.check_count("characters of the texts", size, limits.document_characters)

    def answer() -> bytes:
        """The JSON, written in the thread too: it may hold many spans."""
        with service.indexes.use(name) as index:
            found = MatchesAnswer(matches=matched(index, asked.query, asked.texts))
        return found.model_dump_json().encode()

    return Response(await threads.read(request, answer), media_type="application/json")


@router.get("/v1/indexes/{name}/documents/{id:any_text}")
async def document(
    request: Request, name: str, id: str, service: ServiceGiven, threads: ThreadsGiven
) -> DocumentAnswer:
    """A document."""

    def get() -> DocumentAnswer:
        with service.indexes.use(name) as index:
            [found] = index.documents([id])
            if found is None:
                raise ApiError(404, "no_such_document", f"{name!r} has no document {shown(id)}")
            return _document(found)

    return await threads.read(request, get)


@router.delete("/v1/indexes/{name}/documents/{id:any_text}", response_model_exclude_none=True)
async def delete_one(
    name: str, id: str, service: ServiceGiven, threads: ThreadsGiven
) -> DeleteAnswer:
    """Delete a document; an unknown id deletes none."""
    return await _deleted(service, threads, name, DeleteRequest(ids=[id]))


@router.post("/v1/indexes/{name}/delete", response_model_exclude_none=True)
async def delete_many(
    name: str, asked: DeleteRequest, service: ServiceGiven, threads: ThreadsGiven
) -> DeleteAnswer:
    """Delete documents by their ids, or all that a filter allows."""
    return await _deleted(service, threads, name, asked)


def _described(indexes: Indexes, name: str) -> IndexAnswer:
    with indexes.use(name) as served:
        fused, documents = fused_stages(served), len(served)
        answer = IndexAnswer(
            name=name,
            documents=documents,
            passages=documents,
            first_stages=list(served.first_stages),
            encoder=None if served.encoder is None else public_name(served.encoder.name),
            dimension=served.dimension,
            fused_stages=None if fused == served.first_stages else list(fused),
            store=indexes.kind_of_store(name),
        )
        return _with_info(answer, served.info()) if isinstance(served, Index) else answer


def _with_info(answer: IndexAnswer, info: IndexInfo) -> IndexAnswer:
    """The answer with what only an index tells."""
    words = info.stop_words
    return answer.model_copy(
        update={
            "documents": info.documents,
            "passages": info.passages,
            "analyzer": info.analyzer,
            "stop_words": [*words] if isinstance(words, tuple) else words,
            "languages": dict(info.languages) or None,
            "hybrid": info.hybrid,
            "created": info.created.isoformat(),
        }
    )


def _listed(indexes: Indexes) -> IndexList:
    """What each index holds; one that cannot be opened does not hide the others."""
    found, unavailable = [], {}
    for name in indexes.names():
        try:
            found.append(_described(indexes, name))
        except RerankSearchError as error:
            unavailable[name] = str(api_error(error))
    return IndexList(indexes=found, unavailable=unavailable or None)


def _found(service: Service, name: str, asked: FindRequest) -> FindAnswer:
    """A page of documents. Those of a filter are found by an index alone, not by a store."""
    limits, ids = service.limits, asked.ids
    limits.check_count("limit", asked.limit, limits.found_documents)
    limits.check_count("ids", len(ids or ()), limits.found_documents)
    if ids is not None:
        with service.indexes.use(name) as served:
            return _page(lambda after, size: _of_ids(served, ids, after, size), asked, limits)
    filter = asked.filter or {}
    with service.indexes.use_index(name) as index:
        page = _page(
            lambda after, size: index.find(filter, after=after, limit=size, warn=False),
            asked,
            limits,
        )
        return page.model_copy(update={"warnings": index.filter_warnings(filter) or None})


def _page(
    read: Callable[[str | None, int], list[Document]], asked: FindRequest, limits: Limits
) -> FindAnswer:
    """What ``read`` finds after an id. It ends early if texts are long, so that it fits in memory.

    ``read`` gets the last id before the page, and the number of documents.
    """
    found: list[Document] = []
    characters, after = 0, asked.after
    while len(found) < asked.limit and characters < limits.found_characters:
        size = min(FOUND_AT_ONCE, asked.limit - len(found))
        part = read(after, size)
        found += part
        if len(part) < size:
            after = None
            break
        after = part[-1].id
        characters += sum(len(each.text) for each in part)
    return FindAnswer(documents=[_document(each) for each in found], next=after)


def _of_ids(served: Served, ids: list[str], after: str | None, limit: int) -> list[Document]:
    """The first of the documents with these ids, ascending by id."""
    later = sorted(id for id in {*ids} if after is None or id > after)
    found: list[Document] = []
    for start in range(0, len(later), limit):
        part = served.documents(later[start : start + limit])
        found += [each for each in part if each is not None]
        if len(found) >= limit:
            break
    return found[:limit]


def _document(found: Document) -> DocumentAnswer:
    return DocumentAnswer(
        id=found.id, text=found.text, title=found.title, metadata=dict(found.metadata)
    )


async def _deleted(
    service: Service, threads: Threads, name: str, asked: DeleteRequest
) -> DeleteAnswer:
    def delete() -> DeleteAnswer:
        if asked.filter is None:
            with service.indexes.use(name) as served:
                return DeleteAnswer(deleted=served.delete(asked.ids or []))
        with service.indexes.use_index(name) as index:
            warnings = index.filter_warnings(asked.filter)
            deleted = index.delete_matching(asked.filter, warn=False)
            return DeleteAnswer(deleted=deleted, warnings=warnings or None)

    return await threads.write(delete)
