"""LangChain's own suites, as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import (
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)

from rerank_search import Index, Searcher
from rerank_search.plugins.langchain import RerankSearchRetriever, RerankSearchVectorStore


class TestRetriever(RetrieversIntegrationTests):
    """With the options as the constructor and ``invoke`` take them."""

    @pytest.fixture(autouse=True)
    def _give(self, searcher: Searcher) -> None:
        self.searcher = searcher

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return RerankSearchRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"searcher": self.searcher}

    @property
    def retriever_query_example(self) -> str:
        return "join the path of a file"


class TestRetrieverByTheNamesOfSearchOptions(TestRetriever):
    @property
    def num_results_arg_name(self) -> str:
        return "top_k"


class TestVectorStore(VectorStoreIntegrationTests):
    """With the first stage alone: the tiny reranker's weights are random."""

    @pytest.fixture
    def vectorstore(self, tiny_encoder: Path, tmp_path: Path) -> Iterator[VectorStore]:
        Index.create(tmp_path / "index", encoder=str(tiny_encoder)).close()
        store = RerankSearchVectorStore(tmp_path / "index", reranker=None)
        yield store
        store.close()
