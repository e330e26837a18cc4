from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rerank_search import (
    CrossEncoderReranker,
    Fusion,
    Index,
    IndexNotFoundError,
    InvalidInputError,
    RemoteSearcher,
    Searchable,
    Searcher,
    SearchOptions,
    SearchResponse,
)
from rerank_search.client import ServerError
from rerank_search.reranking.fusion import Weights
from rerank_search.serving.keys import KeyFile, add_key
from rerank_search.serving.limits import Limits
from rerank_search.testing import check_searchable
from tests.client.conftest import NOTES, Served, served

QUERY = "how to join the paths of a file"
QUERIES = [QUERY, "bread in the oven", "  ", "a boat on the sea"]


@pytest.fixture(scope="module")
def reranker(tiny_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_reranker, device="cpu")


@pytest.fixture(scope="module")
def remote(notes_server: Served) -> Iterator[RemoteSearcher]:
    with RemoteSearcher(notes_server.url, "notes") as searcher:
        yield searcher


@pytest.fixture(scope="module")
def local(notes_server: Served, reranker: CrossEncoderReranker) -> Iterator[Searcher]:
    with Index.open(notes_server.home / "notes", read_only=True) as index:
        yield Searcher(index, reranker)


def brief(response: SearchResponse) -> object:
    hits = [(hit.id, hit.document, hit.span, pytest.approx(hit.score)) for hit in response.hits]
    return replace(response, timings={}, hits=[]), hits


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"top_k": 2, "candidates": 3, "first_stage": "bm25"},
        {"filter": {"kind": {"$in": ("path", "file")}}},
        {"filter": {"knid": "path"}},
        {"rerank": False},
    ],
)
def test_it_finds_what_a_searcher_finds_over_the_index(
    remote: RemoteSearcher, local: Searcher, arguments
):
    async def search() -> list[SearchResponse]:
        options = SearchOptions(**arguments)
        return [
            await remote.asearch(QUERY, options),
            *await remote.asearch_batch(QUERIES, **arguments),
        ]

    first = brief(local.search(QUERY, **arguments))
    batch = [brief(each) for each in local.search_batch(QUERIES, **arguments)]
    assert brief(remote.search(QUERY, **arguments)) == first
    assert [brief(each) for each in remote.search_batch(QUERIES, **arguments)] == batch
    assert [brief(each) for each in asyncio.run(search())] == [first, *batch]


def test_it_has_the_methods_and_arguments_of_a_searcher():
    for name in ("search", "search_batch", "asearch", "asearch_batch"):
        own, other = getattr(RemoteSearcher, name), getattr(Searcher, name)
        assert inspect.signature(own) == inspect.signature(other)
        assert inspect.iscoroutinefunction(own) == inspect.iscoroutinefunction(other)


@pytest.mark.slow
def test_it_is_a_searchable(tiny_encoder: Path, tmp_path: Path):
    with Index.create(tmp_path / "notes", encoder=str(tiny_encoder)) as index:
        index.add(NOTES)
    # The check searches for a longer query than a server allows by default.
    with (
        served(tmp_path, [], limits=Limits(query_characters=20_000)) as running,
        RemoteSearcher(running.url) as remote,
    ):
        assert remote.first_stages == remote.fused_stages == ("bm25", "dense", "hybrid")
        check_searchable(
            remote,
            ["join the paths", "the river and the sea"],
            documents=len(NOTES),
            filter={"kind": "path"},
            allows=lambda id: id in ("join", "split"),
        )
        missing = [document and document.id for document in remote.documents(["boat", "no"])]
        assert missing == ["boat", None]


@pytest.mark.slow
def test_candidates_of_a_server_are_reranked_and_fused_here(
    tiny_encoder: Path, reranker: CrossEncoderReranker, tmp_path: Path
):
    fusion = Fusion([Weights(-1.0, {"rerank": 0.5, "bm25:z": 0.7, "dense:z": 0.3})])
    with Index.create(tmp_path / "notes", encoder=str(tiny_encoder)) as index:
        index.add(NOTES)
        expected = Searcher(index, reranker, fusion=fusion).search_batch(QUERIES)
    with served(tmp_path, []) as running, RemoteSearcher(running.url, "notes") as remote:
        searcher = Searcher(remote, reranker, fusion=fusion)
        assert [brief(each) for each in searcher.search_batch(QUERIES)] == [
            brief(each) for each in expected
        ]
        awaited = asyncio.run(searcher.asearch(QUERY))
        assert brief(awaited) == brief(expected[0])
        filtered = searcher.search(QUERY, filter={"knid": "path"})
        assert ["there are 'kind'" in warning for warning in filtered.warnings] == [True]


def test_a_first_stage_that_the_index_lacks_is_refused(remote: RemoteSearcher):
    assert isinstance(remote, Searchable)
    assert remote.first_stages == remote.fused_stages == ("bm25",)
    with pytest.raises(InvalidInputError, match=r"no first stage 'dense'.*bm25"):
        remote.retriever("dense")
    with pytest.raises(InvalidInputError, match="dense"):
        remote.search(QUERY, first_stage="dense")


def test_an_index_that_the_server_lacks_is_named(notes_server: Served):
    with RemoteSearcher(notes_server.url, "nothing") as remote:
        for ask in (remote.search, Searcher):
            with pytest.raises(IndexNotFoundError, match="nothing"):
                ask(remote if ask is Searcher else QUERY)


def test_an_index_is_named_if_the_server_has_several(notes_server: Served, tmp_path: Path):
    with RemoteSearcher(notes_server.url) as remote:
        assert Searcher(remote, None).search(QUERY).hits
    for name in ("one", "two"):
        Index.create(tmp_path / name, encoder=None).close()
    with (
        served(tmp_path, []) as running,
        RemoteSearcher(running.url) as remote,
        pytest.raises(InvalidInputError, match=r"'one', 'two'"),
    ):
        Searcher(remote, None)


def test_unknown_and_invalid_arguments_are_refused(remote: RemoteSearcher):
    with pytest.raises(TypeError, match="did you mean 'top_k'"):
        remote.search(QUERY, topk=1)
    with pytest.raises(InvalidInputError, match="top_k=0"):
        asyncio.run(remote.asearch(QUERY, top_k=0))
    with pytest.raises(InvalidInputError, match="timeout=0"):
        RemoteSearcher("http://127.0.0.1:1", timeout=0)


def test_a_server_that_is_down_is_a_server_error():
    remote = RemoteSearcher("http://127.0.0.1:9", "notes", retries=0)
    for ask in (
        lambda: remote.search(QUERY),
        lambda: asyncio.run(remote.asearch(QUERY)),
        lambda: Searcher(remote),
    ):
        with pytest.raises(ServerError, match="serve` runs there"):
            ask()


def test_the_servers_model_is_chosen_by_name_and_only_for_reranking(
    notes_server: Served, reranker: CrossEncoderReranker
):
    name = Path(reranker.name).name
    with RemoteSearcher(notes_server.url, "notes", model=name) as remote:
        assert remote.search(QUERY).reranked
        assert not remote.search(QUERY, rerank=False).reranked
        assert not asyncio.run(remote.asearch(QUERY, rerank=False)).reranked


def test_it_works_in_one_loop_after_another(remote: RemoteSearcher):
    found = [brief(asyncio.run(remote.asearch(QUERY))) for _ in range(3)]
    assert found == [found[0]] * 3


def test_it_is_pickled_as_address_and_settings(notes_server: Served, reranker):
    name = Path(reranker.name).name
    remote = RemoteSearcher(notes_server.url, "notes", model=name, timeout=30.0, retries=1)
    found = copy.copy(remote)
    assert repr(found) == repr(remote) == f"RemoteSearcher('{notes_server.url}', 'notes')"
    assert pickle.dumps(found) == pickle.dumps(remote)
    assert brief(found.search(QUERY)) == brief(remote.search(QUERY))
    found.close()
    remote.close()


def test_a_key_is_sent_and_is_in_no_pickle_or_repr(notes_server: Served, tmp_path: Path):
    file = tmp_path / "keys.json"
    secret = add_key(file, "reader", "read")
    with served(notes_server.home, [], keys=KeyFile(file)) as running:
        with RemoteSearcher(running.url, "notes", api_key=secret) as remote:
            assert remote.search(QUERY).hits
            assert asyncio.run(remote.asearch(QUERY)).hits
            assert Searcher(remote, None).search(QUERY).hits
            assert secret not in repr(remote)
            with pytest.raises(InvalidInputError, match="cannot be pickled") as raised:
                pickle.dumps(remote)
            assert secret not in str(raised.value)
        without = RemoteSearcher(running.url, "notes")
        with without, pytest.raises(ServerError, match="api_key"):
            without.search(QUERY)


def test_after_closing_every_call_says_so(notes_server: Served):
    remote = RemoteSearcher(notes_server.url, "notes")
    asyncio.run(remote.asearch(QUERY))
    remote.close()
    remote.close()
    for ask in (lambda: remote.search(QUERY), lambda: asyncio.run(remote.asearch(QUERY))):
        with pytest.raises(ServerError, match="is closed"):
            ask()

    async def use() -> None:
        async with RemoteSearcher(notes_server.url, "notes") as other:
            assert (await other.asearch(QUERY)).hits
        with pytest.raises(ServerError, match="is closed"):
            await other.asearch(QUERY)

    asyncio.run(use())


def test_closing_in_a_running_loop_closes_its_connections(notes_server: Served):
    async def use() -> None:
        remote = RemoteSearcher(notes_server.url, "notes")
        await remote.asearch(QUERY)
        remote.close()

    asyncio.run(use())
