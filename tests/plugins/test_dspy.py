from __future__ import annotations

import asyncio
import copy
import json
import pickle
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from rerank_search import InvalidInputError, MissingDependencyError, RemoteSearcher
from rerank_search.client import ServerError
from rerank_search.context import pack
from tests.plugins.conftest import QUERIES, QUERY


@pytest.fixture(scope="module")
def dspy(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # otherwise it uses the network
        patch.setenv("DSPY_CACHEDIR", str(tmp_path_factory.mktemp("dspy")))
        return pytest.importorskip("dspy")


@pytest.fixture(scope="module")
def kind(dspy):
    from rerank_search.plugins.dspy import RerankSearchRetriever

    return RerankSearchRetriever


@pytest.fixture(scope="module")
def find(kind, searcher):
    return kind(searcher, k=4)


def test_passages_are_those_of_the_library(dspy, find, searcher):
    expected = searcher.search(QUERY, top_k=4)
    found = find(QUERY)
    assert isinstance(found, dspy.Prediction)
    assert found.passages == [hit.text for hit in expected.hits]
    assert found.ids == [hit.id for hit in expected.hits]
    assert found.scores == [hit.score for hit in expected.hits]
    assert json.dumps(found.toDict())


def test_a_calibrated_reranker_gives_probabilities(kind, notes, calibrated):
    find = kind(index=notes, reranker=calibrated)
    assert all(0 < score < 1 for score in find(QUERY).scores)
    assert len(find(QUERY).ids) == 3
    assert find(QUERY, min_relevance=1).ids == []
    find.close()


def test_options_are_those_of_the_constructor_unless_a_call_has_its_own(find, searcher):
    asked = {"filter": {"word": "boat"}, "candidates": 7, "first_stage": "bm25"}
    expected = searcher.search(QUERY, top_k=2, **asked)
    assert find(QUERY, k=2, **asked).ids == [hit.id for hit in expected.hits]
    assert find(QUERY, 1, **asked).ids == [expected.hits[0].id]
    assert len(find(QUERY).ids) == 4


def test_top_k_is_another_name_of_k(kind, searcher):
    assert len(kind(searcher, top_k=2)(QUERY).ids) == 2
    with pytest.raises(InvalidInputError, match="k=1 and top_k=2 are the same option"):
        kind(searcher, k=1, top_k=2)


def test_retrieve_uses_it_as_its_model(dspy, find):
    with dspy.context(rm=find.rm):
        assert dspy.Retrieve(k=2)(QUERY).passages == find(QUERY, k=2).passages
    [first, *_] = find.rm(QUERY, k=2)
    assert (first.long_text, first.id) == (find(QUERY).passages[0], find(QUERY).ids[0])


def test_a_module_with_it_is_copied_without_loading_it_again(dspy, find):
    class Answer(dspy.Module):
        def __init__(self):
            super().__init__()
            self.find = find

        def forward(self, question):
            return self.find(question, k=1)

    module = Answer()
    assert module.deepcopy().find is find
    assert copy.copy(find) is copy.deepcopy(find) is find
    assert module(question=QUERY).ids == find(QUERY, k=1).ids


def test_many_at_once_are_the_same_as_one_by_one_while_the_loop_goes_on(find, counted):
    expected = [find(query).ids for query in QUERIES]
    together, ticks = counted([*map(find.acall, QUERIES)])
    assert [found.ids for found in together] == expected
    assert ticks > 10 * len(QUERIES)
    with ThreadPoolExecutor(8) as pool:
        assert [found.ids for found in pool.map(find, QUERIES)] == expected


def test_a_server_is_searched_by_its_url(kind, server, searcher):
    find = kind(index=f"{server.url}/v1/indexes/notes", k=2)
    expected = [hit.id for hit in searcher.search(QUERY, top_k=2).hits]
    assert find(QUERY).ids == expected
    for _ in range(3):
        assert asyncio.run(find.acall(QUERY)).ids == expected
    assert pickle.loads(pickle.dumps(find))(QUERY).ids == expected  # noqa: S301
    find.close()


def test_a_server_that_is_down_slow_or_asks_for_a_key_is_a_server_error(kind, guarded, silent):
    url, secret = guarded
    down = kind(RemoteSearcher("http://127.0.0.1:9", "x", retries=0))
    without = kind(index=url)
    for find, type in ((down, "connection"), (kind(silent), "timeout"), (without, "unauthorized")):
        with pytest.raises(ServerError) as raised:
            find(QUERY)
        assert raised.value.type == type
        with pytest.raises(ServerError):
            asyncio.run(find.acall(QUERY))
    without.close()
    find = kind(index=url, api_key=secret)
    assert find(QUERY).ids
    assert secret not in repr(find)
    find.close()


def test_an_index_that_is_being_written_is_searched_all_the_while(kind, searched_while_written):
    def make(folder):
        find = kind(index=folder, reranker=None)
        return lambda: find("paths").ids

    assert searched_while_written(make) == ([], ["a", "b"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 0}, InvalidInputError, "top_k=0 must be at least 1"),
        ({"candidate": 5}, TypeError, "'candidate' is not a search option"),
        ({"filter": {"word": {"$like": "x"}}}, InvalidInputError, "like"),
    ],
)
def test_wrong_arguments_are_errors(find, arguments, error, message):
    with pytest.raises(error, match=message):
        find(QUERY, **arguments)
    with pytest.raises(error, match=message):
        asyncio.run(find.acall(QUERY, **arguments))


def test_passages_may_be_a_packed_context(kind, searcher):
    find = kind(searcher, k=2, context_tokens=200)
    response = searcher.search(QUERY, top_k=2)
    expected = pack(response, tokens=200)
    assert find(QUERY).passages == [*expected.blocks]
    assert asyncio.run(find.acall(QUERY)).passages == [*expected.blocks]
    assert find(QUERY, context_tokens=None).passages == [hit.text for hit in response.hits]
    for wrong in (0, "9", True):
        with pytest.raises(InvalidInputError, match="context_tokens"):
            kind(searcher, context_tokens=wrong)
        with pytest.raises(InvalidInputError, match="context_tokens"):
            find(QUERY, context_tokens=wrong)


def test_a_blank_query_finds_nothing(find):
    assert find(" ").passages == []
    assert find.rm("") == []


def test_without_dspy_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "rerank_search.plugins.dspy", raising=False)
    monkeypatch.setitem(sys.modules, "dspy", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "rerank-search\[dspy\]"'):
        import rerank_search.plugins.dspy  # noqa: F401
