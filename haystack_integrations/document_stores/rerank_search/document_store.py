"""An index as a Haystack document store."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from haystack import Document, default_from_dict, default_to_dict
from haystack.core.errors import SerializationError
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter

from rerank_search.arguments import id_list, objects
from rerank_search.declared import did_you_mean
from rerank_search.errors import InvalidInputError
from rerank_search.index import Index
from rerank_search.plugins.haystack.documents import check_meta, from_index, to_index
from rerank_search.plugins.haystack.filters import by_ids, translated
from rerank_search.plugins.haystack.metadata_fields import (
    field_types,
    numbers_of_values,
    smallest_and_largest,
    unique_values,
)
from rerank_search.plugins.own_index import OwnIndex
from rerank_search.shown import shown
from rerank_search.types import Document as IndexedDocument
from rerank_search.worker_threads import WorkerThreads

AT_ONCE = 1_000
"""Number of documents that are read together."""


class RerankSearchDocumentStore:
    """An index, searched by RerankSearchRetriever. Threads and event loops may share one.

        >>> store = RerankSearchDocumentStore("indexes/letters", new_index={"encoder": None})
        >>> store.write_documents([Document(content="Dear Ann", meta={"year": 1999})])
        1
        >>> store.filter_documents({"field": "meta.year", "operator": ">", "value": 1990})
        [Document(id=..., content: 'Dear Ann', meta: {'year': 1999})]

    ``index`` is the folder of an index, which the first use opens, or makes if there is none; or an
    Index, which stays the user's to close. ``new_index`` has arguments of ``Index.create`` for a
    new one, such as the ``encoder``. The index makes vectors itself, and keeps those of documents
    without searching them.

    Documents come back as they were written, ordered by their ids. DuplicatePolicy.NONE is FAIL.
    Each method has one for asyncio, such as ``write_documents_async``.

    Raises FilterError for a filter that is not valid or has no translation, DuplicateDocumentError,
    InvalidInputError (a ValueError), and what ``Index`` raises.
    """

    def __init__(
        self,
        index: Index | str | PathLike[str],
        *,
        new_index: dict[str, Any] | None = None,
    ) -> None:
        if new_index is not None and not isinstance(new_index, dict):
            raise InvalidInputError(f"new_index={shown(new_index)} is not a dict: give one")
        known = [name for name in inspect.signature(Index.create).parameters if name != "path"]
        for name in new_index or {}:
            if name not in known:
                raise InvalidInputError(
                    f"new_index has {shown(name)}, which Index.create does not take"
                    f"{did_you_mean(name, known)}"
                )
        self.index, self.new_index = index, new_index
        self.own_index = OwnIndex(index, new=dict(new_index or {}))
        self._threads = WorkerThreads()

    def count_documents(self) -> int:
        """The number of documents."""
        return len(self.own_index.get())

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """The documents that the filters allow, ordered by their ids."""
        return [from_index(found) for found in self._allowed(filters)]

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Write the documents, and return how many were written.

        With FAIL nothing is written if one of the ids exists. Raises InvalidDocumentError for a
        document that cannot be stored.
        """
        given = objects("documents", documents, Document, of=" of Haystack")
        if not isinstance(policy, DuplicatePolicy):
            raise InvalidInputError(f"policy={shown(policy)} is not a DuplicatePolicy: give one")
        indexed = [to_index(document) for document in given]
        index = self.own_index.get()
        with index.writing():
            if policy is not DuplicatePolicy.OVERWRITE:
                indexed = _new(index, indexed, skip=policy is DuplicatePolicy.SKIP)
            index.add(indexed)
        return len(indexed)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents by their ids; unknown ids are skipped."""
        self.own_index.get().delete(id_list(document_ids))

    def delete_all_documents(self) -> None:
        """Delete all documents."""
        index = self.own_index.get()
        with index.writing():
            index.delete(list(index.ids()))

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that the filters allow, and return their number."""
        _check_not_empty(filters)
        index = self.own_index.get()
        with index.writing():
            return index.delete([each.id for each in self._allowed(filters)])

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Set these keys in the metadata of the documents that the filters allow.

        Returns the number of these documents.
        """
        _check_not_empty(filters)
        check_meta(meta)
        index = self.own_index.get()
        with index.writing():
            changed = [
                replace(found, metadata={**found.metadata, **meta})
                for found in self._allowed(filters)
            ]
            index.add(changed)
        return len(changed)

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """The number of documents that the filters allow."""
        return sum(1 for _ in self._allowed(filters))

    def count_unique_metadata_by_filter(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        """How many different values each of the fields has, among the documents allowed."""
        return numbers_of_values(self._metadata(filters), metadata_fields)

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """The metadata fields, each with its ``type``: boolean, int, float or keyword."""
        return field_types(self._metadata(None))

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """The smallest and the largest value of a field, as ``min`` and ``max``."""
        return smallest_and_largest(self._metadata(None), metadata_field)

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """A page of the different values of a field, and the number of all of them."""
        return unique_values(self._metadata(filters), metadata_field, search_term, from_, size)

    async def count_documents_async(self) -> int:
        """``count_documents`` for asyncio: in a thread, while the event loop goes on."""
        return await self._threads.run(self.count_documents)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """``filter_documents`` for asyncio."""
        return await self._threads.run(partial(self.filter_documents, filters))

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """``write_documents`` for asyncio."""
        return await self._threads.run(partial(self.write_documents, documents, policy))

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """``delete_documents`` for asyncio."""
        await self._threads.run(partial(self.delete_documents, document_ids))

    async def delete_all_documents_async(self) -> None:
        """``delete_all_documents`` for asyncio."""
        await self._threads.run(self.delete_all_documents)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """``delete_by_filter`` for asyncio."""
        return await self._threads.run(partial(self.delete_by_filter, filters))

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """``update_by_filter`` for asyncio."""
        return await self._threads.run(partial(self.update_by_filter, filters, meta))

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        """``count_documents_by_filter`` for asyncio."""
        return await self._threads.run(partial(self.count_documents_by_filter, filters))

    async def count_unique_metadata_by_filter_async(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        """``count_unique_metadata_by_filter`` for asyncio."""
        return await self._threads.run(
            partial(self.count_unique_metadata_by_filter, filters, metadata_fields)
        )

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        """``get_metadata_fields_info`` for asyncio."""
        return await self._threads.run(self.get_metadata_fields_info)

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        """``get_metadata_field_min_max`` for asyncio."""
        return await self._threads.run(partial(self.get_metadata_field_min_max, metadata_field))

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """``get_metadata_field_unique_values`` for asyncio."""
        return await self._threads.run(
            partial(
                self.get_metadata_field_unique_values,
                metadata_field,
                search_term,
                from_,
                size,
                filters,
            )
        )

    def close(self) -> None:
        """Close the index if it was opened here; the next use opens it again."""
        self.own_index.close()

    async def close_async(self) -> None:
        """``close`` for asyncio."""
        await self._threads.run(self.close)

    def to_dict(self) -> dict[str, Any]:
        """All arguments, for Haystack's files. Raises SerializationError for an Index."""
        if isinstance(self.index, Index):
            raise SerializationError(
                f"index={shown(self.index)} is an object, which cannot be written to a file: give "
                "the folder of the index instead"
            )
        return default_to_dict(self, index=str(self.index), new_index=self.new_index)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RerankSearchDocumentStore:
        """The store that ``to_dict`` has written."""
        return default_from_dict(cls, data)

    def __repr__(self) -> str:
        return f"RerankSearchDocumentStore({shown(self.index)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments, with an absolute path; an Index is opened for reading."""
        given = self.index if isinstance(self.index, Index) else Path(self.index).absolute()
        return partial(RerankSearchDocumentStore, new_index=self.new_index), (given,)

    def _allowed(self, filters: dict[str, Any] | None) -> Iterator[IndexedDocument]:
        index = self.own_index.get()
        if (named := by_ids(filters)) is not None:
            ids, beside = named
            for found in index.documents(ids):
                if found is not None and (
                    not beside or document_matches_filter(beside, from_index(found))
                ):
                    yield found
            return
        allowed, after = translated(filters), None
        while page := index.find(allowed, after=after, limit=AT_ONCE, warn=False):
            yield from page
            after = page[-1].id

    def _metadata(self, filters: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
        return (from_index(found).meta for found in self._allowed(filters))


def _new(index: Index, documents: list[IndexedDocument], *, skip: bool) -> list[IndexedDocument]:
    """The documents whose ids are new. Raises DuplicateDocumentError for others, or skips them."""
    found = index.documents([document.id for document in documents])
    new: dict[str, IndexedDocument] = {}
    for document, existing in zip(documents, found, strict=True):
        if existing is None and document.id not in new:
            new[document.id] = document
        elif not skip:
            raise DuplicateDocumentError(
                f"the id {shown(document.id)} exists already: give another one, or write with "
                "DuplicatePolicy.OVERWRITE or SKIP"
            )
    return [*new.values()]


def _check_not_empty(filters: object) -> None:
    if not filters:
        raise FilterError(
            "an empty filter allows every document: give conditions, or use delete_all_documents()"
        )
