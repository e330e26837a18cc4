from __future__ import annotations

import asyncio
import json
import threading

import numpy as np
import pytest
from mcp import Client

from rerank_search import CrossEncoderReranker, Document, Index, InvalidInputError, Searcher
from rerank_search.options import OPTIONS
from rerank_search.plugins.mcp.links import Links
from rerank_search.plugins.mcp.search_arguments import NOT_OFFERED
from rerank_search.plugins.mcp.server import mcp_server
from rerank_search.serving.limits import Limits
from tests.plugins.mcp.conftest import NOTES, ODD, WIKI

MODES = ("auto", "legacy")


class Caller:
    """Calls each tool over a connection of its own."""

    def __init__(self, service):
        self.server = mcp_server(service)

    async def call_tool(self, name, arguments):
        async with Client(self.server) as client:
            return await client.call_tool(name, arguments)


@pytest.fixture(scope="module")
def client(service):
    return Caller(service)


@pytest.mark.parametrize("mode", MODES)
async def test_search_and_fetch_are_what_chatgpt_wants(service, mode, answer):
    async with Client(mcp_server(service), mode=mode) as client:
        found = answer(await client.call_tool("search", {"query": "two paths"}))
        assert found.keys() == {"results"}
        assert len(found["results"]) == 3
        for each in found["results"]:
            assert each.keys() == {"id", "title", "url"}
            assert all(isinstance(value, str) and value for value in each.values())
            fetched = answer(await client.call_tool("fetch", {"id": each["id"]}))
            assert fetched.keys() - {"metadata"} == {"id", "title", "text", "url"}
            assert {name: fetched[name] for name in each} == each


async def test_every_document_is_fetched_by_its_id(client, answer):
    for index, documents in (("notes", NOTES), ("wiki", WIKI)):
        for each in documents:
            got = answer(await client.call_tool("fetch", {"id": f"{index}/{each.id}"}))
            assert got["text"] == each.text
            assert got.get("metadata", {}) == each.metadata


async def test_null_is_the_same_as_no_argument(client, answer, problem):
    given = {"query": "paths", "index": None, "filter": None, "top_k": None}
    found = await client.call_tool("search_passages", given)
    assert answer(found) == answer(await client.call_tool("search_passages", {"query": "paths"}))
    assert "id: Field required" in problem(await client.call_tool("fetch", {"id": None}))


async def test_a_long_document_without_passages_is_read_by_fetch(serve, answer):
    service, text = serve(), "a violin song " * 1000
    metadata = {"long": "x" * 1000, **{f"key-{number:03}": number for number in range(100)}}
    with Index.create(service.indexes.home / "a", encoder=None, passages=None) as index:
        index.add([Document("0", text, "music " * 100, metadata)])
    async with Client(mcp_server(service)) as client:
        [hit] = answer(await client.call_tool("search_passages", {"query": "violin"}))["hits"]
        assert hit["passage"] + hit["after"] == text[: 4000 + 300]
        assert hit["span"] == [0, 4000]
        assert len(hit["title"]) < 130
        assert answer(await client.call_tool("fetch", {"id": hit["id"]}))["text"] == text
        described = answer(await client.call_tool("list_indexes", {}))["indexes"][0]
        assert len(json.dumps(described)) < 3000


async def test_a_document_without_title_is_called_by_its_text(serve, answer):
    service = serve()
    with service.indexes.use("wiki") as index:
        index.add([Document("long", "many words " * 50), Document("blank", " \n")])
    async with Client(mcp_server(service)) as client:
        titles = [
            answer(await client.call_tool("fetch", {"id": f"wiki/{id}"}))["title"]
            for id in ("..", "paths", "long", "blank")
        ]
    assert titles[:2] == ["Bread", "a path joins two villages"]
    assert titles[2].startswith("many words many")
    assert len(titles[2]) < 130
    assert titles[3] == "blank"


async def test_urls_come_from_metadata_then_the_template(service, answer):
    links = Links(template="https://docs.example/{index}/{id}")
    async with Client(mcp_server(service, links=links)) as client:
        urls = [
            answer(await client.call_tool("fetch", {"id": id}))["url"]
            for id in ("notes/shell", "notes/join", "wiki/paths")
        ]
    assert urls == [
        "https://example.com/shell",
        "https://docs.example/notes/join",
        "https://docs.example/wiki/paths",  # the source of this one is not a URL
    ]


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("join", "INDEX/ID"),
        ("", "INDEX/ID"),
        ("notes/", "INDEX/ID"),
        ("notes/none", "there is no document 'notes/none'"),
        ("none/join", "there is no index 'none'; there are: notes, wiki"),
        ("../notes/join", "there is no index '..'"),
    ],
)
async def test_an_unknown_id_is_told(client, problem, id, message):
    assert message in problem(await client.call_tool("fetch", {"id": id}))


async def test_passages_are_those_of_the_searcher(client, home, reranker, answer):
    arguments = {"query": "join two paths", "index": "notes", "top_k": 2}
    found = answer(await client.call_tool("search_passages", arguments))
    with Index.open(home / "notes") as index:
        expected = Searcher(index, reranker).search("join two paths", top_k=2)
    assert [each["id"] for each in found["hits"]] == [f"notes/{hit.id}" for hit in expected.hits]
    assert [each["score"] for each in found["hits"]] == pytest.approx(
        [hit.score for hit in expected.hits]
    )
    assert found["reranked"] is True


@pytest.mark.slow
async def test_a_passage_comes_with_its_neighbourhood(serve, tiny_encoder, answer):
    service = serve()
    text = " ".join(f"boat {number} on the river." for number in range(60)) + " the bread oven."
    service.indexes.create("long", encoder=None, analyzer="english")
    with Index.create(service.indexes.home / "passages", encoder=str(tiny_encoder)) as index:
        index.add([Document("boats", text)])
    async with Client(mcp_server(service)) as client:
        arguments = {"query": "bread oven", "index": "passages", "neighbourhood": 40}
        [hit] = answer(await client.call_tool("search_passages", arguments))["hits"]
        start, end = hit["span"]
        assert end - start < len(text)
        assert hit["passage"] == text[start:end]
        assert hit["before"] == text[max(0, start - 40) : start]
        assert hit["after"] == text[end : end + 40]
        assert hit["before"] or hit["after"]
        alone = {**arguments, "neighbourhood": 0}
        [hit] = answer(await client.call_tool("search_passages", alone))["hits"]
        assert (hit["before"], hit["after"]) == ("", "")


async def test_every_search_option_is_an_argument(client):
    async with Client(client.server) as connected:
        tools = {tool.name: tool for tool in (await connected.list_tools()).tools}
    arguments = tools["search_passages"].input_schema["properties"].keys()
    assert OPTIONS.keys() - NOT_OFFERED <= arguments
    assert not NOT_OFFERED & arguments


async def test_a_document_shows_several_passages_on_request(serve, answer):
    service = serve()
    text = " ".join(f"boat {number} on the river." for number in range(300)) + " the bread oven."
    with service.indexes.use("wiki") as index:
        index.add([Document("boats", text), Document("same", text)])
    async with Client(mcp_server(service)) as client:
        arguments = {
            "query": "boat on the river",
            "top_k": 1,
            "index": "wiki",
            "filter": {"$not": {"source": {"$exists": True}}},
            "passages_per_document": 3,
            "collapse_duplicates": True,
            "neighbourhood": 10,
        }
        found = answer(await client.call_tool("search_passages", {**arguments, "top_k": 3}))
        hit = next(each for each in found["hits"] if each["id"] == "wiki/boats")
        assert hit["duplicates"] == ["wiki/same"]
        assert len(hit["further"]) == 2
        for each in (hit, *hit["further"]):
            start, end = each["span"]
            assert each["passage"] == text[start:end]
            assert each["after"] == text[end : end + 10]
        [alone] = answer(await client.call_tool("search_passages", {"query": "oven", "top_k": 1}))[
            "hits"
        ]
        assert "further" not in alone


async def test_passages_are_packed_into_a_number_of_tokens(client, answer):
    arguments = {"query": "two paths", "tokens": 200}
    found = answer(await client.call_tool("search_passages", arguments))
    assert found["hits"] == []
    assert "join two paths" in found["context"]
    assert len(found["citations"]) == 3
    for each in found["citations"]:
        assert f"[{each['number']}]" in found["context"]
        assert each["url"]
        answer(await client.call_tool("fetch", {"id": each["id"]}))
    few = answer(await client.call_tool("search_passages", {"query": "two paths", "tokens": 15}))
    assert len(few["context"]) < len(found["context"])
    none = answer(await client.call_tool("search_passages", {"query": "zebra", "tokens": 15}))
    assert (none["context"], none["citations"]) == ("", [])


async def test_a_filter_is_exact(client, answer):
    arguments = {"query": "path", "filter": {"module": "os"}}
    found = answer(await client.call_tool("search_passages", arguments))
    assert {each["metadata"]["module"] for each in found["hits"]} == {"os"}
    assert found["warnings"] == [
        "in the index wiki: no document has the metadata key 'module', which the filter names: "
        "there are 'source'"
    ]


async def test_hosts_that_send_objects_as_text_are_understood(client, answer):
    arguments = {"query": "path", "index": "notes", "filter": json.dumps({"module": "os"})}
    found = answer(await client.call_tool("search_passages", arguments))
    assert len(found["hits"]) == 2


async def test_the_first_stage_alone_can_be_asked_for(client, answer):
    arguments = {"query": "path", "first_stage": "bm25", "rerank": False}
    found = answer(await client.call_tool("search_passages", arguments))
    assert found["reranked"] is False
    assert {each["id"].partition("/")[0] for each in found["hits"]} == {"notes", "wiki"}


async def test_hits_of_all_indexes_are_one_ranking(client, answer):
    found = answer(await client.call_tool("search_passages", {"query": "two paths"}))
    scores = [each["score"] for each in found["hits"]]
    assert scores == sorted(scores, reverse=True)
    first = answer(await client.call_tool("search_passages", {"query": "two paths", "top_k": 1}))
    assert first["hits"] == found["hits"][:1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": "x", "filters": {}}, "'filters' is not an argument of search_passages"),
        ({"query": "x", "filters": {}}, "did you mean 'filter'?"),
        ({}, "query: Field required"),
        ({"query": 5}, "query: "),
        ({"query": "x", "top_k": 0}, "top_k: Input should be greater than or equal to 1"),
        ({"query": "x", "top_k": 101}, "top_k: Input should be less than or equal to 100"),
        ({"query": "x", "candidates": 1001}, "candidates: 1,001, and 1,000 are allowed"),
        ({"query": "x" * 10_001}, "shorten it"),
        ({"query": "x", "index": "none"}, "there are: notes, wiki"),
        ({"query": "x", "first_stage": "bm52"}, "'bm52'"),
        ({"query": "x", "first_stage": "dense"}, "dense"),
        ({"query": "x", "filter": {"a": {"$near": 1}}}, "$near"),
        ({"query": "x", "filter": "year > 2020"}, "filter: Input should be a valid dictionary"),
        ({"query": "x", "min_relevance": 0.5}, "calibrate"),
        ({"query": "x", "min_relevance": 2}, "min_relevance: Input should be less than"),
        ({"query": "x", "neighbourhood": -1}, "neighbourhood: "),
    ],
)
async def test_wrong_arguments_are_told(client, problem, arguments, message):
    said = problem(await client.call_tool("search_passages", arguments))
    assert message in said
    assert "pydantic" not in said


async def test_a_blank_query_finds_nothing(client, answer):
    assert answer(await client.call_tool("search", {"query": " "})) == {"results": []}


async def test_indexes_are_described(client, answer):
    notes, wiki = answer(await client.call_tool("list_indexes", {}))["indexes"]
    assert notes["name"] == "notes"
    assert notes["documents"] == 3
    assert notes["first_stages"] == ["bm25"]
    assert set(notes["examples"]) == {"Paths", "run a shell command", "split a path into two parts"}
    assert notes["metadata"] == ODD | {"url": "https://example.com/shell", "year": 2020}
    assert wiki["metadata"] == {"source": "maps/paths.md"}


async def test_texts_are_ranked_as_the_reranker_does(client, reranker, answer):
    texts = ["a train", "join two paths", "join two paths", ""]
    arguments = {"query": "how do I join paths", "texts": texts}
    results = answer(await client.call_tool("rerank", arguments))["results"]
    logits = reranker.score([(arguments["query"], text) for text in texts]).tolist()
    assert [each["index"] for each in results] == sorted(
        range(len(texts)), key=lambda place: (-logits[place], place)
    )
    assert all(0 <= each["relevance"] <= 1 for each in results)
    best = answer(await client.call_tool("rerank", {**arguments, "top_n": 1}))["results"]
    assert best == results[:1]


async def test_a_text_that_is_not_read_to_its_end_is_counted(client, answer):
    arguments = {"query": "paths", "texts": ["path", "long " * 500]}
    assert answer(await client.call_tool("rerank", arguments))["truncated"] == 1


async def test_no_texts_are_ranked_as_none(client, answer):
    arguments = {"query": "paths", "texts": []}
    assert answer(await client.call_tool("rerank", arguments)) == {"results": []}


async def test_what_cannot_be_ranked_is_told(service, serve, problem):
    small = serve(limits=Limits(documents=1))
    async with Client(mcp_server(small)) as client:
        many = {"query": "x", "texts": ["a", "b"]}
        assert "1 are allowed" in problem(await client.call_tool("rerank", many))
        blank = {"query": " ", "texts": ["a"]}
        assert "the query is blank" in problem(await client.call_tool("rerank", blank))


class Failing:
    """A reranker that always fails."""

    name = "failing"

    def score(self, pairs):
        raise ValueError(f"secret {pairs}")


async def test_a_failing_reranker_does_not_stop_searches(serve, answer, problem):
    async with Client(mcp_server(serve(Failing()))) as client:
        found = answer(await client.call_tool("search_passages", {"query": "two paths"}))
        assert found["hits"]
        assert found["reranked"] is False
        assert "'failing' failed" in found["warnings"][0]
        said = problem(await client.call_tool("rerank", {"query": "a", "texts": ["b"]}))
    assert "'failing' failed" in said
    assert "secret" not in json.dumps([found, said])


@pytest.mark.slow
async def test_calls_at_the_same_time_are_answered_as_one_by_one(client, answer):
    queries = [f"{word} {number}" for number in range(8) for word in ("path", "oven", "a", "x")]
    calls = [("search_passages", {"query": query}) for query in queries]
    alone = [answer(await client.call_tool(*call)) for call in calls]
    async with Client(client.server) as shared:
        together = await asyncio.gather(*(shared.call_tool(*call) for call in calls))
    for one, other in zip(alone, map(answer, together), strict=True):
        assert [each["id"] for each in one["hits"]] == [each["id"] for each in other["hits"]]
        scores = [[each["score"] for each in found["hits"]] for found in (one, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)


class Waiting:
    """A reranker that scores when it may."""

    name = "waiting"

    def __init__(self):
        self.begun, self.may_score = threading.Event(), threading.Event()

    def score(self, pairs):
        self.begun.set()
        assert self.may_score.wait(60)
        return np.zeros(len(pairs), np.float32)


async def test_a_search_that_takes_long_holds_nobody_up(serve, answer):
    reranker = Waiting()
    async with Client(mcp_server(serve(reranker))) as client:
        search = asyncio.create_task(client.call_tool("search", {"query": "two paths"}))
        while not reranker.begun.is_set():
            await asyncio.sleep(0)
        got = answer(await client.call_tool("fetch", {"id": "notes/join"}))
        assert got["title"] == "Paths"
        assert not search.done()
        reranker.may_score.set()
        assert len(answer(await search)["results"]) == 3


async def test_too_many_calls_are_refused_and_tools_are_listed(serve, answer, problem):
    reranker = Waiting()
    async with Client(mcp_server(serve(reranker, limits=Limits(searches=1)))) as client:
        calls = [asyncio.create_task(client.call_tool("search", {"query": "two paths"}))]
        while not reranker.begun.is_set():
            await asyncio.sleep(0)
        calls.append(asyncio.create_task(client.call_tool("fetch", {"id": "notes/join"})))
        said = ""
        while not said:  # until the second one waits for a thread
            third = asyncio.create_task(client.call_tool("fetch", {"id": "notes/join"}))
            calls.append(third)
            for _ in range(100):
                await asyncio.sleep(0)
            said = problem(third.result()) if third.done() else ""
        assert "too many requests wait" in said
        assert len((await client.list_tools()).tools) == 5
        reranker.may_score.set()
        done = await asyncio.gather(*calls[:2])
    assert answer(done[1])["text"] == "join two paths"


async def test_a_cancelled_search_is_not_scored(serve, answer):
    reranker = Waiting()
    service = serve(reranker)
    shared = service.rerankers.shared("waiting")
    async with Client(mcp_server(service)) as client:
        first = asyncio.create_task(client.call_tool("search", {"query": "two paths"}))
        while not reranker.begun.is_set():
            await asyncio.sleep(0)
        second = asyncio.create_task(client.call_tool("search", {"query": "a path"}))
        while not shared.waiting:
            await asyncio.sleep(0)
        second.cancel()
        while shared.waiting:
            await asyncio.sleep(0)
        reranker.may_score.set()
        assert answer(await first)["results"]


async def test_a_model_is_loaded_once(serve, tiny_reranker, when_called, answer):
    from rerank_search.reranking.cross_encoder import CrossEncoderReranker
    from rerank_search.reranking.loaded_later import LoadedLater

    loaded: list[object] = []
    with when_called(CrossEncoderReranker.__init__, lambda _: loaded.append(1)):
        async with Client(mcp_server(serve(LoadedLater(str(tiny_reranker))))) as client:
            await client.list_tools()
            assert loaded == []
            calls = (client.call_tool("search", {"query": "two paths"}) for _ in range(8))
            found = [answer(each) for each in await asyncio.gather(*calls)]
    assert loaded == [1]
    assert all(each == found[0] for each in found)


async def test_an_instruction_of_the_server_reaches_its_reranker(serve, causal_reranker, answer):
    causal = CrossEncoderReranker(causal_reranker, device="cpu")
    told = "Find claims that the text supports"
    service = serve(causal)
    texts = [each.text for each in NOTES]
    expected = causal.activated(
        causal.score([("two paths", text) for text in texts], instruction=told)
    )
    with Index.open(service.indexes.home / "notes", read_only=True) as index:
        found = Searcher(index, causal).search("two paths", instruction=told)
    async with Client(mcp_server(service, instruction=told)) as client:
        ranked = answer(await client.call_tool("rerank", {"query": "two paths", "texts": texts}))
        scores = {each["index"]: each["relevance"] for each in ranked["results"]}
        assert [scores[at] for at in range(len(texts))] == pytest.approx(expected, abs=1e-5)
        asked = {"query": "two paths", "index": "notes"}
        passages = answer(await client.call_tool("search_passages", asked))
        assert [each["score"] for each in passages["hits"]] == pytest.approx(
            [hit.score for hit in found.hits], abs=1e-5
        )
        first = await client.call_tool("search_passages", {**asked, "rerank": False})
        assert not answer(first)["reranked"]


async def test_an_instruction_to_a_reranker_that_takes_none_is_told(service, problem):
    async with Client(mcp_server(service, instruction="Find claims")) as client:
        for tool, asked in (
            ("search", {"query": "two paths"}),
            ("rerank", {"query": "two paths", "texts": ["a path"]}),
        ):
            said = problem(await client.call_tool(tool, asked))
            assert "takes no instruction: leave it out" in said
    with pytest.raises(InvalidInputError, match="instruction=' ' is blank"):
        mcp_server(service, instruction=" ")
