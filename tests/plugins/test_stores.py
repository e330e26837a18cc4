"""A store's URL in place of an index, in the retriever of each framework and in Source."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rerank_search import (
    CrossEncoderReranker,
    Index,
    InvalidInputError,
    Searcher,
    StoreUnreachableError,
)
from rerank_search.plugins.own_index import OwnIndex
from rerank_search.plugins.source import Source
from rerank_search.stores import open_store
from tests.plugins.conftest import DOCUMENTS, QUERY

FILTER = {"word": "boat"}


@pytest.fixture
def url(text_store: Callable[..., str]) -> str:
    return text_store(DOCUMENTS)


def langchain(**arguments: Any) -> Any:
    from rerank_search.plugins.langchain import RerankSearchRetriever

    return RerankSearchRetriever(**arguments)


def llama_index(**arguments: Any) -> Any:
    from rerank_search.plugins.llama_index import RerankSearchRetriever

    return RerankSearchRetriever(**arguments)


def haystack(**arguments: Any) -> Any:
    from haystack_integrations.components.retrievers.rerank_search import RerankSearchRetriever

    return RerankSearchRetriever(**arguments)


def dspy(**arguments: Any) -> Any:
    from rerank_search.plugins.dspy import RerankSearchRetriever

    return RerankSearchRetriever(**arguments)


def langchain_ids(retriever: Any) -> list[str]:
    found = retriever.invoke(QUERY, k=3)
    assert asyncio.run(retriever.ainvoke(QUERY, k=3)) == found
    return [each.id for each in found]


def llama_index_ids(retriever: Any) -> list[str]:
    best = retriever.with_options(top_k=3)
    found = [each.node_id for each in best.retrieve(QUERY)]
    assert [each.node_id for each in asyncio.run(best.aretrieve(QUERY))] == found
    return found


def haystack_ids(retriever: Any) -> list[str]:
    found = retriever.run(QUERY, top_k=3)["documents"]
    assert asyncio.run(retriever.run_async(QUERY, top_k=3))["documents"] == found
    return [each.id for each in found]


def dspy_ids(retriever: Any) -> list[str]:
    found: list[str] = retriever(QUERY, k=3).ids
    assert asyncio.run(retriever.acall(QUERY, k=3)).ids == found
    return found


RETRIEVERS = [
    pytest.param(make, ids, id=make.__name__)
    for make, ids in (
        (langchain, langchain_ids),
        (llama_index, llama_index_ids),
        (haystack, haystack_ids),
        (dspy, dspy_ids),
    )
]


@pytest.mark.filterwarnings("ignore::UserWarning:pydantic")
@pytest.mark.parametrize(("make", "ids"), RETRIEVERS)
def test_a_store_is_searched_by_its_url(
    make: Any, ids: Any, url: str, reranker: CrossEncoderReranker
) -> None:
    retriever = make(index=url, reranker=reranker)
    with open_store(url) as store:
        expected = [hit.id for hit in Searcher(store, reranker).search(QUERY, top_k=3).hits]
    assert ids(retriever) == expected
    retriever.close()
    assert ids(retriever) == expected  # opened again
    retriever.close()


@pytest.mark.filterwarnings("ignore::UserWarning:pydantic")
@pytest.mark.parametrize(("make", "ids"), RETRIEVERS)
def test_a_url_with_a_password_is_refused_and_not_shown(make: Any, ids: Any, url: str) -> None:
    for secret in (url.replace("fts5://", "fts5://ann:hush@"), f"{url}?api_key=hush"):
        with pytest.raises(ValueError, match="set it in the environment") as refused:
            make(index=secret)
        assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"index": "fts5:///file", "api_key": "key"}, "api_key is for a server"),
        ({"index": "notes=fts5://ann:hush@/file"}, "neither a folder nor the URL of a store"),
        ({"index": "fts5:///file?a=1&a=2"}, "has the option 'a' twice"),
        ({"index": "fts5:///file", "reranker": 5}, "5"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as refused:
        Source(**arguments)
    assert "hush" not in str(refused.value)


def test_a_source_of_a_store_is_copied_and_pickled_by_its_url(url: str) -> None:
    source = Source(index=url, reranker=None)
    for made in (source, copy.copy(source), pickle.loads(pickle.dumps(source))):  # noqa: S301
        found = made.searcher().search(QUERY, top_k=2, filter=FILTER)
        assert {hit.id.partition("-")[0] for hit in found.hits} == {"boat"}
        assert repr(made) == f"Source(index={url!r})"
        assert made.settings == {"index": url, "reranker": None}
        made.close()


def test_a_pipeline_of_haystack_has_the_url_in_its_file(url: str) -> None:
    retriever = haystack(index=url, reranker=None)
    written = json.loads(json.dumps(retriever.to_dict()))
    assert written["init_parameters"]["index"] == url
    again = type(retriever).from_dict(written)
    assert haystack_ids(again)
    again.close()
    retriever.close()


def test_a_store_that_cannot_be_reached_is_opened_by_a_later_call(url: str) -> None:
    source = Source(index=f"{url}?timeout=0.01&retries=0", reranker=None)
    with closing(sqlite3.connect(url.removeprefix("fts5://"), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnreachableError, match="locked"):
            source.searcher()
    assert source.searcher().search(QUERY).hits
    source.close()


def test_the_event_loop_goes_on_while_a_store_is_asked(url: str, counted: Any) -> None:
    source = Source(index=url, reranker=None)

    async def search() -> Any:
        return await (await source.asearcher()).asearch(QUERY)

    [response], ticks = counted([search()])
    assert response.hits
    assert ticks > 1
    source.close()


def test_what_writes_to_a_folder_refuses_a_url(tmp_path: Path, monkeypatch) -> None:
    from haystack_integrations.document_stores.rerank_search import RerankSearchDocumentStore
    from rerank_search.plugins import langchain as of_langchain
    from rerank_search.plugins import llama_index as of_llama_index

    monkeypatch.chdir(tmp_path)
    url = "fts5://ann:hush@/file"
    for refuse in (
        lambda: of_langchain.RerankSearchVectorStore(url),
        lambda: of_llama_index.RerankSearchVectorStore(index=url),
        lambda: RerankSearchDocumentStore(url, new_index={"encoder": None}),
        lambda: OwnIndex(url, new={"encoder": None}),
        lambda: Index.create(url, encoder=None),
        lambda: Index.open(url),
        lambda: Index.drop(url),
        lambda: Searcher(url),
    ):
        with pytest.raises(ValueError, match="is a URL") as refused:
            refuse()
        assert "hush" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
