from __future__ import annotations

import asyncio
import copy
import gc
import pickle
from pathlib import Path

import numpy as np
import pytest

from rerank_search import (
    AsyncClient,
    Client,
    IndexNotFoundError,
    InvalidInputError,
    ModelNotFoundError,
    RemoteSearcher,
    Searcher,
    SearchIndexError,
)
from rerank_search.client import ServerError
from rerank_search.plugins.source import Source
from rerank_search.serving.keys import KeyFile, add_key
from tests.client.conftest import Served, served
from tests.plugins.conftest import QUERY


def found(source: Source) -> list[str]:
    return [hit.id for hit in source.searcher().search(QUERY).hits]


class Constant:
    """A reranker of a user."""

    name = "constant"

    def score(self, pairs):
        return np.ones(len(pairs), dtype=np.float32)


def test_a_searcher_is_used_as_it_is(searcher: Searcher):
    source = Source(searcher)
    assert source.searcher() is searcher
    assert asyncio.run(source.asearcher()) is searcher
    source.close()
    assert source.searcher().search(QUERY).hits


def test_an_index_is_found_by_its_folder(notes: Path, tiny_reranker: Path, searcher: Searcher):
    expected = [hit.id for hit in searcher.search(QUERY).hits]
    for index in (notes, str(notes)):
        source = Source(index=index, reranker=str(tiny_reranker))
        assert found(source) == expected
        source.close()


def test_an_index_is_found_by_its_url(server: Served, searcher: Searcher):
    expected = [hit.id for hit in searcher.search(QUERY).hits]
    for url in (f"{server.url}/v1/indexes/notes", f"{server.url}/v1/indexes/notes/", server.url):
        source = Source(index=url)
        assert found(source) == expected
        source.close()


def test_a_name_in_a_url_may_be_quoted(server: Served):
    source = Source(index=f"{server.url}/v1/indexes/n%6ftes")
    assert repr(source.searcher()) == f"RemoteSearcher('{server.url}', 'notes')"
    source.close()


def test_without_a_reranker_there_is_no_second_stage(notes: Path, server: Served):
    for index in (notes, f"{server.url}/v1/indexes/notes"):
        source = Source(index=index, reranker=None)
        response = source.searcher().search(QUERY)
        assert response.hits
        assert not response.reranked
        source.close()


def test_a_reranker_of_the_user_scores_here(notes: Path, server: Served):
    for index in (notes, f"{server.url}/v1/indexes/notes"):
        source = Source(index=index, reranker=Constant())
        assert {hit.score for hit in source.searcher().search(QUERY).hits} == {1.0}
        source.close()


def test_a_name_beside_a_url_is_a_model_of_the_server(server: Served, reranker):
    url = f"{server.url}/v1/indexes/notes"
    source = Source(index=url, reranker=Path(reranker.name).name)
    assert source.searcher().search(QUERY).reranked
    source.close()
    unknown = Source(index=url, reranker="big")
    with pytest.raises(ModelNotFoundError, match="big"):
        unknown.searcher().search(QUERY)
    unknown.close()


def test_threads_that_ask_together_open_once(notes: Path, tiny_reranker: Path, in_threads):
    source = Source(index=notes, reranker=str(tiny_reranker))
    results, loaded = in_threads(lambda: found(source))
    assert results[0]
    assert results == [results[0]] * 32
    assert loaded == 1
    source.close()


def test_what_was_opened_is_closed_and_opened_again_when_needed(notes: Path):
    source = Source(index=notes, reranker=None)
    first = source.searcher()
    source.close()
    source.close()
    with pytest.raises(SearchIndexError, match="is closed"):
        first.search(QUERY)
    assert found(source)
    source.close()


def test_what_was_opened_is_closed_with_the_source(notes: Path):
    source = Source(index=notes, reranker=None)
    searcher = source.searcher()
    del source
    gc.collect()
    with pytest.raises(SearchIndexError, match="is closed"):
        searcher.search(QUERY)


def test_a_failed_opening_leaves_nothing_open_and_is_tried_again(tmp_path: Path, notes: Path):
    source = Source(index=tmp_path / "later", reranker=None)
    for _ in range(2):
        with pytest.raises(IndexNotFoundError, match="later"):
            source.searcher()
    (tmp_path / "later").symlink_to(notes)
    assert found(source)
    source.close()
    with pytest.raises(ModelNotFoundError, match="no/model"):
        Source(index=notes, reranker="no/model").searcher()


def test_it_is_opened_while_the_event_loop_goes_on(notes: Path, tiny_reranker: Path):
    source = Source(index=notes, reranker=str(tiny_reranker))

    async def search() -> list[list[str]]:
        async def one() -> list[str]:
            response = await (await source.asearcher()).asearch(QUERY)
            return [hit.id for hit in response.hits]

        return await asyncio.gather(*[one() for _ in range(8)])

    results = asyncio.run(search())
    assert results == [found(source)] * 8
    source.close()


def test_it_is_pickled_as_its_arguments(
    notes: Path, tiny_reranker: Path, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(notes.parent)
    source = Source(index="notes", reranker=str(tiny_reranker))
    source.searcher()
    assert len(pickle.dumps(source)) < 2_000
    again = copy.deepcopy(source)
    source.close()
    monkeypatch.chdir("/")
    assert found(again) == [hit.id for hit in searcher.search(QUERY).hits]
    again.close()


def test_a_key_is_sent_and_never_shown_or_pickled(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    secret = add_key(tmp_path / "keys.json", "reader", "read")
    with served(notes.parent, [], keys=KeyFile(tmp_path / "keys.json")) as running:
        url = f"{running.url}/v1/indexes/notes"
        for key in (secret, lambda: secret):
            source = Source(index=url, api_key=key)
            assert found(source)
            assert secret not in repr(source)
            source.close()
        with pytest.raises(InvalidInputError, match="cannot be pickled") as raised:
            pickle.dumps(Source(index=url, api_key=secret))
        assert secret not in str(raised.value)
        without = Source(index=url, api_key=lambda: None)
        with pytest.raises(ServerError, match="api_key"):
            found(without)
        without.close()
        monkeypatch.setenv("RERANK_SEARCH_API_KEY", secret)
        for source in (Source(index=url), copy.deepcopy(Source(index=url))):
            assert found(source)
            assert secret.encode() not in pickle.dumps(source)
            source.close()


def test_its_arguments_can_be_written_to_a_file(notes: Path, searcher: Searcher):
    assert Source(index="notes").settings == {"index": "notes", "reranker": "auto"}
    assert Source(index=notes, reranker=None).settings == {"index": str(notes), "reranker": None}
    for source in (Source(searcher), Source(index=notes, reranker=Constant())):
        with pytest.raises(InvalidInputError, match=r"is an object.*instead"):
            _ = source.settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "nothing to search"),
        ({"searcher": "notes"}, "searcher='notes' cannot be used"),
        ({"index": 5}, "index=5 is not a path or a URL"),
        ({"index": "notes", "api_key": "rs_secret"}, "api_key is for a server"),
        ({"index": "notes", "reranker": 5}, "reranker=5"),
        ({"index": "notes", "reranker": Constant}, "is a class"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(arguments, message):
    with pytest.raises(InvalidInputError, match=message) as raised:
        Source(**arguments)
    assert "rs_secret" not in str(raised.value)


def test_a_client_is_refused_where_a_searcher_is_needed(searcher: Searcher):
    for client in (Client("http://127.0.0.1:9"), AsyncClient("http://127.0.0.1:9")):
        with pytest.raises(InvalidInputError, match="give a Searcher or a RemoteSearcher"):
            Source(client)
    for others in ({"index": "notes"}, {"reranker": None}, {"reranker": "x"}, {"api_key": "rs_x"}):
        with pytest.raises(InvalidInputError, match="exclude each other"):
            Source(searcher, **others)
    Source(RemoteSearcher("http://127.0.0.1:9")).close()
