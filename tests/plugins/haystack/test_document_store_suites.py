"""Haystack's own suites for document stores, as they are, over an index without vectors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from haystack.dataclasses import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.testing import document_store as theirs
from haystack.testing import document_store_async as theirs_async

from haystack_integrations.document_stores.rerank_search import RerankSearchDocumentStore


class _OverAnIndex:
    @pytest.fixture
    def document_store(self, empty: Path, tmp_path: Path) -> Iterator[RerankSearchDocumentStore]:
        store = RerankSearchDocumentStore(shutil.copytree(empty, tmp_path / "index"))
        yield store
        store.close()

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        """As the suite wants it for stores with an order of their own: ours is by id."""
        assert received == sorted(expected, key=lambda document: document.id)


class TestDocumentStore(_OverAnIndex, theirs.DocumentStoreBaseExtendedTests):
    def test_write_documents(self, document_store: RerankSearchDocumentStore):
        """The suite leaves the default policy to each store; here it is FAIL."""
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])


class TestMetadata(
    _OverAnIndex,
    theirs.CountDocumentsByFilterTest,
    theirs.CountUniqueMetadataByFilterTest,
    theirs.GetMetadataFieldsInfoTest,
    theirs.GetMetadataFieldMinMaxTest,
    theirs.GetMetadataFieldUniqueValuesTest,
):
    pass


class TestDocumentStoreAsync(
    _OverAnIndex,
    theirs_async.CountDocumentsAsyncTest,
    theirs_async.DeleteAllAsyncTest,
    theirs_async.DeleteByFilterAsyncTest,
    theirs_async.DeleteDocumentsAsyncTest,
    theirs_async.FilterDocumentsAsyncTest,
    theirs_async.UpdateByFilterAsyncTest,
    theirs_async.WriteDocumentsAsyncTest,
):
    async def test_write_documents_async(self, document_store: RerankSearchDocumentStore):
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])


class TestMetadataAsync(
    _OverAnIndex,
    theirs_async.CountDocumentsByFilterAsyncTest,
    theirs_async.CountUniqueMetadataByFilterAsyncTest,
    theirs_async.GetMetadataFieldsInfoAsyncTest,
    theirs_async.GetMetadataFieldMinMaxAsyncTest,
    theirs_async.GetMetadataFieldUniqueValuesAsyncTest,
):
    pass
