"""OpenAI's vector stores, also through its own client."""

from __future__ import annotations

import json
import warnings

import pytest

from rerank_search import Index, Searcher
from tests.serving.broken import Broken, BrokenFor

QUERY = "join two paths"
SEARCH = "/v1/vector_stores/notes/search"


@pytest.fixture
def openai(server):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("openai")
    with package.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def found(server, **asked):
    answer = server.post(SEARCH, {"query": QUERY, **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer):
    return [each["file_id"] for each in answer["data"]]


def test_results_are_those_of_the_library(server, reranker):
    answer = found(server, max_num_results=3)
    with Index.open(server.home / "notes", read_only=True) as index:
        expected = Searcher(index, reranker).search(QUERY, top_k=3)
    assert ids(answer) == [hit.id for hit in expected.hits]
    assert (answer["object"], answer["search_query"]) == (
        "vector_store.search_results.page",
        QUERY,
    )
    assert (answer["has_more"], answer["next_page"]) == (False, None)
    first, hit = answer["data"][0], expected.hits[0]
    assert first["content"] == [{"type": "text", "text": hit.text}]
    assert first["attributes"] == dict(hit.document.metadata)
    assert first["filename"] == (hit.document.title or hit.id)
    scores = [each["score"] for each in answer["data"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"type": "eq", "key": "module", "value": "os"}, {"join", "split"}),
        ({"type": "ne", "key": "module", "value": "os"}, {"shell", "bread"}),
        ({"type": "gt", "key": "year", "value": 2020}, {"shell", "split"}),
        ({"type": "gte", "key": "year", "value": 2021}, {"shell", "split"}),
        ({"type": "lt", "key": "year", "value": 2021}, {"join"}),
        ({"type": "lte", "key": "year", "value": 2021}, {"join", "shell"}),
        ({"type": "in", "key": "module", "value": ["food", "os"]}, {"join", "split", "bread"}),
        ({"type": "nin", "key": "module", "value": ["food", "os"]}, {"shell"}),
        (
            {
                "type": "and",
                "filters": [
                    {"type": "eq", "key": "module", "value": "os"},
                    {
                        "type": "or",
                        "filters": [
                            {"type": "eq", "key": "year", "value": 2022},
                            {"type": "eq", "key": "year", "value": 1999},
                        ],
                    },
                ],
            },
            {"split"},
        ),
    ],
)
def test_filters_are_translated_exactly(server, filters, expected):
    assert set(ids(found(server, filters=filters))) == expected


def test_without_a_ranker_the_first_stage_ranks(server):
    answer = found(server, ranking_options={"ranker": "none"})
    native = server.post("/v1/search", {"query": QUERY, "rerank": False}).json()
    assert ids(answer) == [hit["id"] for hit in native["results"][0]["hits"]]
    assert all(0 <= each["score"] < 1 for each in answer["data"])


def test_a_threshold_leaves_out_worse_results(server):
    every = found(server)["data"]
    least = every[1]["score"]
    some = found(server, ranking_options={"ranker": "auto", "score_threshold": least})["data"]
    assert some == [each for each in every if each["score"] >= least]
    assert len(some) < len(every)


def test_a_served_reranker_may_be_named(server):
    [model] = [each["id"] for each in server.client.get("/v1/models").json()["data"]]
    assert found(server, ranking_options={"ranker": model}) == found(server)


def test_several_queries_have_their_best_results_together(server):
    queries = [QUERY, "bread and cheese"]
    answer = found(server, query=queries, max_num_results=2)
    assert answer["search_query"] == queries
    assert len(ids(answer)) == len(set(ids(answer))) == 2
    alone = [found(server, query=query)["data"] for query in queries]
    best = {}
    for each in (each for results in alone for each in results):
        best[each["file_id"]] = max(each["score"], best.get(each["file_id"], 0.0))
    assert [each["score"] for each in answer["data"]] == sorted(best.values(), reverse=True)[:2]


def test_metadata_that_attributes_cannot_hold_become_json(fresh):
    metadata = {"tags": ["a", "b"], "of": {"by": 1}, "none": None, "yes": True, "n": 1.5}
    document = {"id": "a/b ü", "text": "a violin", "metadata": metadata}
    fresh.post("/v1/indexes/notes/documents", {"documents": [document]})
    results = fresh.post(SEARCH, {"query": "violin"}).json()["data"]
    [attributes] = [each["attributes"] for each in results if each["file_id"] == "a/b ü"]
    assert (attributes["yes"], attributes["n"]) == (True, 1.5)
    assert json.loads(attributes["tags"]) == ["a", "b"]
    assert json.loads(attributes["of"]) == {"by": 1}
    assert attributes["none"] == "null"


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ({"rewrite_query": True}, 400, "rewrite_query=true is not supported"),
        ({"max_num_results": 0}, 400, "max_num_results"),
        ({"max_num_results": 51}, 400, "max_num_results"),
        ({"query": []}, 400, "query: Input should be a string, or a list of at least one string"),
        ({"query": 5}, 400, "query: Input should be a string, or a list"),
        ({"query": ["a", None]}, 400, "query: Input should be a string, or a list"),
        (
            {"filters": {"type": "like", "key": "a", "value": "b"}},
            400,
            "filters: the type 'like' is unknown: use one of eq,",
        ),
        ({"filters": {}}, 400, "filters: the type None is unknown"),
        ({"filters": {"type": ["eq"]}}, 400, "filters: the type ['eq'] is unknown"),
        ({"filters": 5}, 400, "filters is not a JSON object"),
        ({"filters": {"type": "and", "filters": []}}, 400, "filters.filters: List should have"),
        (
            {"filters": {"type": "or", "filters": [{"type": "eq", "key": "a", "value": None}]}},
            400,
            "filters.filters.0.value: Input should be a string, a number, true, false, or a list",
        ),
        ({"filters": {"type": "in", "key": "a", "value": "b"}}, 400, "give a list"),
        ({"filters": {"type": "gt", "key": "a", "value": True}}, 400, "number or a string"),
        ({"ranking_options": {"ranker": "other"}}, 404, "no reranker 'other'"),
        ({"ranking_options": {"score_threshold": 2}}, 400, "score_threshold"),
        (
            {"ranking_options": {"ranker": "none", "score_threshold": 0.5}},
            400,
            "needs a ranker",
        ),
        ({"ranking_options": {"hybrid_search": {}}}, 400, "hybrid_search"),
        ({"stream": True}, 400, "'stream' is not supported"),
    ],
)
def test_what_cannot_be_done_is_said_in_openais_shape(server, asked, status, message):
    answer = server.post(SEARCH, {"query": QUERY, **asked})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert message in error["message"]
    assert {"message", "type", "param", "code"} <= error.keys()


def test_a_server_without_rerankers_refuses_the_name_of_one(serve):
    with serve(None) as bare:
        answer = bare.post(SEARCH, {"query": QUERY, "ranking_options": {"ranker": "other"}})
        assert answer.status_code == 404
        assert "no reranker 'other'" in answer.json()["error"]["message"]
        assert ids(found(bare, ranking_options={"ranker": "auto"})) == ids(found(bare))


def test_a_threshold_is_not_applied_to_scores_of_a_first_stage(serve):
    with serve(Broken()) as server:
        assert len(found(server)["data"]) == 4
        answer = server.post(SEARCH, {"query": QUERY, "ranking_options": {"score_threshold": 0.1}})
        assert answer.status_code == 500
        assert "needs the second stage" in answer.json()["error"]["message"]


def test_reranked_results_are_not_mixed_with_those_of_a_first_stage(serve):
    with serve(BrokenFor("bread")) as server:
        assert found(server)["data"]
        assert found(server, query=["bread", "bread and cheese"])["data"]
        assert found(server, query=[QUERY, " "]) == {**found(server), "search_query": [QUERY, " "]}
        answer = server.post(SEARCH, {"query": [QUERY, "bread"]})
        assert answer.status_code == 500
        error = answer.json()["error"]
        assert error["type"] == "reranker_failed"
        assert "send one query at a time" in error["message"]


def test_nulls_are_no_options(server):
    fields = ("filters", "max_num_results", "ranking_options", "rewrite_query")
    assert found(server, **dict.fromkeys(fields)) == found(server)


def test_an_unknown_store_is_not_found(server):
    for answer in (
        server.post("/v1/vector_stores/nowhere/search", {"query": QUERY}),
        server.client.get("/v1/vector_stores/nowhere"),
    ):
        assert answer.status_code == 404
        assert "there is no index 'nowhere'" in answer.json()["error"]["message"]


def test_stores_are_listed_by_pages(fresh):
    for name in ("a", "b", "c"):
        assert fresh.client.put(f"/v1/indexes/{name}", json={"encoder": None}).status_code == 201

    def listed(**parameters):
        answer = fresh.client.get("/v1/vector_stores", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    every = [each["id"] for each in listed(order="asc")["data"]]
    assert sorted(every) == ["a", "b", "c", "notes"]
    assert [each["id"] for each in listed()["data"]] == every[::-1]
    first = listed(order="asc", limit=3)
    assert [each["id"] for each in first["data"]] == every[:3]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (every[0], every[2], True)
    rest = listed(order="asc", limit=3, after=first["last_id"])
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (every[3:], False)
    assert [each["id"] for each in listed(order="asc", before=every[1])["data"]] == every[:1]
    for parameters in ({"limit": 0}, {"limit": 101}, {"order": "up"}, {"after": "x"}, {"page": 2}):
        answer = fresh.client.get("/v1/vector_stores", params=parameters)
        assert answer.status_code == 400
        assert next(iter(parameters)) in answer.json()["error"]["message"]


@pytest.mark.filterwarnings("ignore")
def test_openais_client_searches_and_lists(openai, server):
    page = openai.vector_stores.search(
        "notes",
        query=QUERY,
        max_num_results=2,
        filters={"type": "eq", "key": "module", "value": "os"},
        ranking_options={"ranker": "auto", "score_threshold": 0.0},
    )
    assert [each.file_id for each in page] == ["join", "split"]
    assert page.data[0].content[0].text == "join two paths"
    [store] = openai.vector_stores.list(limit=5)
    assert (store.id, store.status, store.file_counts.total) == ("notes", "completed", 4)
    assert openai.vector_stores.retrieve("notes") == store
    assert store.usage_bytes > 0


@pytest.mark.filterwarnings("ignore")
def test_openais_client_is_told_what_is_wrong(openai):
    package = pytest.importorskip("openai")
    with pytest.raises(package.NotFoundError, match="there is no index"):
        openai.vector_stores.search("nowhere", query=QUERY)
    with pytest.raises(package.BadRequestError, match="rewrite_query"):
        openai.vector_stores.search("notes", query=QUERY, rewrite_query=True)
