from __future__ import annotations

import asyncio
import inspect
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rerank_search.errors
from rerank_search import (
    CrossEncoderReranker,
    Document,
    EncodedDocument,
    EncodedQuery,
    FilterWarning,
    Fusion,
    Index,
    IndexExistsError,
    IndexNotFoundError,
    InvalidDocumentError,
    InvalidFilterError,
    InvalidInputError,
    ModelNotFoundError,
    RemoteSearcher,
    RerankError,
    RerankSearchError,
    Searcher,
    UnsupportedError,
    rank_texts,
)
from rerank_search.client import AsyncClient, Client, ServerError
from rerank_search.options import SearchOptions
from rerank_search.reranking.fusion import Weights
from rerank_search.serving.errors import api_error
from rerank_search.serving.keys import KeyFile, add_key
from rerank_search.serving.limits import Limits
from tests.client.conftest import served

LONG = " ".join(["the river and the sea.", "join the paths of a file."] * 30)
DOCUMENTS = [
    Document("join", "join the paths of files", "Paths", {"kind": "path", "year": 2020}),
    Document("a/b ?#%ü", "split the path into parts", "", {"kind": "path", "of": {"by": None}}),
    Document("long", LONG, "A long one", {"kind": "file", "tags": ["x", "ü"], "year": None}),
    Document("bread", "the bread is in the oven of the kitchen", "bread", {"ratio": 0.5}),
    Document("boat", "a boat on the river to the sea"),
]
QUERY = "how to join the paths of a file"
WEIGHTS = Weights(-1.0, {"rerank": 0.5, "bm25:z": 0.7})


class Broken:
    """A reranker of a user, which fails."""

    name = "broken"

    def score(self, pairs):
        raise RerankError("the model has burnt down: buy another")


@pytest.fixture(scope="module")
def reranker(
    tiny_reranker: Path, make_calibration, tmp_path_factory: pytest.TempPathFactory
) -> CrossEncoderReranker:
    """A reranker with a fusion of its score and BM25, and a calibration of that score."""
    folder = tmp_path_factory.mktemp("client") / "model"
    shutil.copytree(tiny_reranker, folder)
    Fusion([WEIGHTS]).save(folder)
    make_calibration(WEIGHTS).save(folder)
    return CrossEncoderReranker(folder, device="cpu")


@pytest.fixture(scope="module")
def home(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client") / "home"
    with Index.create(folder / "docs", encoder=str(tiny_encoder)) as index:
        index.add(DOCUMENTS)
    return folder


@pytest.fixture(scope="module")
def instructed(causal_reranker: Path) -> CrossEncoderReranker:
    """A reranker that takes instructions, named "causal" by the server."""
    return CrossEncoderReranker(causal_reranker, device="cpu")


@pytest.fixture(scope="module")
def url(
    home: Path, reranker: CrossEncoderReranker, instructed: CrossEncoderReranker
) -> Iterator[str]:
    with served(home, [reranker, Broken(), instructed]) as server:
        yield server.url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    with Client(url, "docs") as client:
        yield client


@pytest.fixture(scope="module")
def searcher(home: Path, reranker: CrossEncoderReranker) -> Iterator[Searcher]:
    with Index.open(home / "docs", read_only=True) as index:
        yield Searcher(index, reranker)


def same(response, expected) -> None:
    """Compare everything in the responses but the times."""
    assert response.timings.keys() == expected.timings.keys()
    hits = [
        replace(
            hit,
            score=pytest.approx(hit.score, abs=1e-4),
            relevance=None if hit.relevance is None else pytest.approx(hit.relevance, abs=1e-4),
            stage_scores=pytest.approx(hit.stage_scores, abs=1e-4),
        )
        for hit in expected.hits
    ]
    found = replace(response, hits=list(response.hits))
    assert found == replace(expected, hits=hits, timings=response.timings)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"top_k": 2, "candidates": 3},
        {"first_stage": "bm25"},
        {"rerank": False},
        {"filter": {"kind": {"$in": ("path", "file")}}},
        {"filter": {"kind": "nothing"}},
        {"min_relevance": 0.3},
        {"budget_ms": 60_000},
        {"passages_per_document": 2, "collapse_duplicates": True},
    ],
)
def test_a_client_finds_what_a_searcher_finds(client, url, searcher, arguments):
    async def search():
        async with AsyncClient(url, "docs") as client:
            return await client.search(QUERY, **arguments)

    expected = searcher.search(QUERY, **arguments)
    same(client.search(QUERY, **arguments), expected)
    same(asyncio.run(search()), expected)


def test_options_may_be_an_object_of_which_some_are_replaced(client, searcher):
    options = SearchOptions(top_k=2, first_stage="bm25", rerank=False)
    same(client.search(QUERY, options), searcher.search(QUERY, options))
    same(client.search(QUERY, options, top_k=1), searcher.search(QUERY, options, top_k=1))
    with pytest.raises(TypeError, match="did you mean 'top_k'"):
        client.search(QUERY, topk=1)


def test_documents_spans_and_relevance_are_those_of_the_library(client):
    hits = {hit.id: hit for hit in client.search(QUERY).hits}
    assert {id: hit.document for id, hit in hits.items()} == {each.id: each for each in DOCUMENTS}
    start, end = hits["long"].span
    assert isinstance(hits["long"].span, tuple)
    assert 0 <= start < end <= len(LONG)
    assert end - start < len(LONG) / 2
    assert all(0 < hit.relevance < 1 for hit in hits.values())
    assert {"bm25", "dense", "hybrid", "rerank", "fused"} == hits["long"].stage_scores.keys()


def test_a_batch_has_a_response_for_each_query_in_their_order(client, url, searcher):
    async def search():
        async with AsyncClient(url, "docs") as client:
            return await client.search_batch(queries, top_k=2)

    queries = [f"{word} the path {i}" for i in range(12) for word in ("join", "", "bread and")]
    queries[1] = "  "
    expected = searcher.search_batch(queries, top_k=2)
    for responses in (client.search_batch(queries, top_k=2), asyncio.run(search())):
        for response, each in zip(responses, expected, strict=True):
            same(response, each)
    assert len(client.search_batch(queries, candidates=1_000)) == len(queries)  # above a request
    assert client.search_batch([]) == []


def test_without_a_name_the_only_index_is_searched(url):
    with Client(url) as client:
        assert client.search(QUERY).hits[0].document is not None


def test_where_the_reranker_fails_the_first_stage_answers(client):
    response = client.search(QUERY, model="broken")
    assert not response.reranked
    assert "burnt down" in response.degraded
    assert response.hits


def test_texts_are_ranked_as_by_the_library_and_scored_from_0_to_1(client, url, reranker):
    async def rank():
        async with AsyncClient(url) as client:
            return await client.rank_texts(QUERY, texts, top_k=3)

    texts = [document.text for document in DOCUMENTS]
    hits = client.rank_texts(QUERY, texts, top_k=3)
    expected = rank_texts(QUERY, texts, top_k=3, reranker=reranker)
    assert [(hit.id, hit.rank, hit.document) for hit in hits] == [
        (hit.id, hit.rank, hit.document) for hit in expected
    ]
    assert all(0 <= hit.score <= 1 for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert asyncio.run(rank()) == hits
    assert len(client.rank_texts(QUERY, texts, long_documents="max_passage")) == len(texts)


def test_an_instruction_is_sent_to_the_server(client, home, instructed):
    texts = [document.text for document in DOCUMENTS]
    told = "Find claims that the text supports"
    found = client.rank_texts(QUERY, texts, model="causal", instruction=told, top_k=len(texts))
    scores = instructed.score([(QUERY, text) for text in texts], instruction=told)
    assert [hit.id for hit in found] == [str(i) for i in np.argsort(-scores, kind="stable")]
    with Index.open(home / "docs", read_only=True) as index:
        expected = Searcher(index, instructed).search(QUERY, instruction=told)
    same(client.search(QUERY, model="causal", instruction=told), expected)
    with pytest.raises(InvalidInputError, match="takes no instruction"):
        client.search(QUERY, instruction=told)
    with pytest.raises(InvalidInputError, match="is blank"):
        client.rank_texts(QUERY, texts, instruction=" ")


def test_a_warning_of_the_server_is_logged_once(scripted, caplog):
    answer = {"results": [], "meta": {"warnings": ["the reranker is made for English"]}}
    scripted.answers = [success(answer), success(answer)]
    with scripted.client() as client:
        assert client.rank_texts("Brücke", ["x"]) == client.rank_texts("Brücke", ["x"]) == []
    assert caplog.messages == ["the server says: the reranker is made for English"]


def test_nothing_to_rank_gives_no_hits(client):
    assert client.rank_texts("  ", ["text"]) == []
    assert client.rank_texts(QUERY, []) == []


def test_documents_are_found_and_got_as_in_the_library(client, url, home):
    async def ask():
        async with AsyncClient(url, "docs") as client:
            return (
                await client.find({"kind": "path"}),
                await client.get("a/b ?#%ü"),
                await client.documents(["boat", "none", "boat"]),
            )

    with Index.open(home / "docs", read_only=True) as index:
        assert client.find() == index.find()
        assert client.find(after="boat", limit=2) == index.find(after="boat", limit=2)
        several = {"kind": {"$in": ("path", "file")}}
        assert client.find(several) == index.find(several)
        for id in ("a/b ?#%ü", "long", "none", "", "..", 7):
            assert client.get(id) == index.get(id)
        expected = index.documents(["boat", "none", "boat"])
        assert client.documents(["boat", "none", "boat"]) == expected
        assert client.documents([]) == []
        assert asyncio.run(ask()) == (
            index.find({"kind": "path"}),
            index.get("a/b ?#%ü"),
            expected,
        )


def test_pages_that_the_server_ends_early_are_put_together(tmp_path):
    with Index.create(tmp_path / "many", encoder=None) as index:
        index.add(Document(f"{i:04}", "x" * 10, metadata={"odd": i % 2}) for i in range(2100))
    limits = Limits(found_characters=3_000)
    with served(tmp_path, [], limits=limits) as server, Client(server.url, "many") as client:
        assert [int(each.id) for each in client.find(limit=1050)] == [*range(1050)]
        assert [int(each.id) for each in client.find({"odd": 1}, limit=5000)] == [
            *range(1, 2100, 2)
        ]
        ids = [f"{i:04}" for i in reversed(range(2200))]
        assert [each and each.id for each in client.documents(ids)] == [None] * 100 + ids[100:]


def test_find_refuses_what_the_library_refuses(client, url):
    for wrong in ({"limit": 0}, {"after": 1.5}, {"filter": {"kind": {"$regex": "x"}}}):
        with pytest.raises(InvalidInputError):
            client.find(**wrong)
    with Client(url) as nameless, pytest.raises(InvalidInputError, match="name the index"):
        nameless.find()
    with pytest.warns(FilterWarning, match="'knd'"):
        assert client.find({"knd": "path"}) == []


def test_matches_are_those_of_the_index(client, url, home):
    texts = ["Joins the 🐍 paths.", "", LONG]

    async def ask(query):
        async with AsyncClient(url, "docs") as client:
            return await client.matches(query, texts)

    with Index.open(home / "docs", read_only=True) as index, RemoteSearcher(url, "docs") as remote:
        for query in ("join a path", "oven", ""):
            expected = index.matches(query, texts)
            assert client.matches(query, iter(texts)) == expected
            assert asyncio.run(ask(query)) == remote.matches(query, texts) == expected
    assert client.matches("path", []) == []
    for query, wrong in (("path", "one text"), ("path", [None]), (None, texts), ("\ud800", texts)):
        with pytest.raises(InvalidInputError):
            client.matches(query, wrong)


def test_many_texts_are_sent_in_parts(scripted):
    scripted.answers = [success({"matches": [[[0, 1]]] * count}) for count in (1_000, 3, 1)]
    sizes = [1] * 1_001 + [600_000, 399_999, 600_000]
    with scripted.client() as client:
        assert client.matches("a", ["a" * size for size in sizes]) == [[(0, 1)]] * 1_004
    sent = [[len(text) for text in json.loads(body)["texts"]] for _, _, body in scripted.requests]
    assert sent == [[1] * 1_000, [1, 600_000, 399_999], [600_000]]


def test_an_index_is_dropped(tmp_path):
    async def drop(address):
        async with AsyncClient(address) as client:
            await client.drop_index("b")

    for name in ("a", "b"):
        Index.create(tmp_path / name, encoder=None).close()
    with served(tmp_path, []) as server, Client(server.url) as client:
        client.drop_index("a")
        assert [each.name for each in client.indexes()] == ["b"]
        asyncio.run(drop(server.url))
        assert client.indexes() == []
        with pytest.raises(IndexNotFoundError):
            client.drop_index("a")
        with pytest.raises(InvalidInputError, match="name the index"):
            client.drop_index("")


def test_models_and_indexes_are_listed(client, reranker):
    first, second, third = client.models()
    name = Path(reranker.name).name  # the API shows only the last part of a folder
    assert (first.name, first.max_length, first.backend) == (name, 64, "torch")
    assert (second.name, second.max_length) == ("broken", None)
    assert third.name == "causal"
    [index] = client.indexes()
    assert (index.name, index.documents) == ("docs", len(DOCUMENTS))
    assert index.first_stages == ("bm25", "dense", "hybrid")
    assert index.languages.keys() == {"en"}
    assert index.created.tzinfo is not None


# Changes


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Client]:
    """A client of an empty index without vectors, which the test may change."""
    with served(tmp_path, []) as server, Client(server.url, "notes") as client:
        made = client.create_index("notes", encoder=None, analyzer="plain")
        assert (made.name, made.documents, made.encoder, made.analyzer) == (
            "notes",
            0,
            None,
            "plain",
        )
        yield client


def test_an_index_may_be_made_for_a_language(notes: Client) -> None:
    made = notes.create_index("reise", encoder=None, analyzer="de", stop_words="language")
    assert (made.analyzer, made.stop_words) == ("german", "language")
    assert notes.create_index("buch", encoder=None, stop_words=["of"]).stop_words == ("of",)
    with pytest.raises(InvalidInputError, match="no analyzer 'klingon'"):
        notes.create_index("other", encoder=None, analyzer="klingon")


def test_documents_and_queries_take_their_vectors_along(tmp_path):
    with served(tmp_path, []) as server, Client(server.url, "own") as own:
        made = own.create_index("own", encoder=None, dimension=2, hybrid="rrf")
        assert (made.first_stages, made.hybrid) == (("bm25", "dense", "hybrid"), "rrf")
        documents = [
            EncodedDocument("a", "red", vector=np.array([1.0, 0.0])),
            EncodedDocument("b", "sea", vector=[0.6, 0.8]),
        ]
        assert own.add(documents) == 2
        options = {"rerank": False, "first_stage": "dense"}
        response = own.search("sea", query_vector=[0, 1], **options)
        assert [hit.id for hit in response.hits] == ["b", "a"]
        assert response.hits[0].score == pytest.approx(0.8)
        queries = [EncodedQuery("red", [1, 0]), EncodedQuery("sea", [0, 1])]
        found = own.search_batch(queries, top_k=1, **options)
        assert [each.hits[0].id for each in found] == ["a", "b"]
        with pytest.raises(InvalidInputError, match="1 of 2 queries have no vector"):
            own.search_batch([queries[0], "sea"], **options)
        with pytest.raises(InvalidInputError, match="has no vector"):
            own.search("sea", **options)
        with pytest.raises(InvalidDocumentError, match="a vector of 3 numbers"):
            own.add([EncodedDocument("c", "x", vector=[1, 2, 3])])
        with RemoteSearcher(server.url, "own") as remote:
            [hit] = Searcher(remote, reranker=None).search("sea", top_k=1, query_vector=[0, 1]).hits
            assert hit.id == "b"


def test_settings_about_vectors_are_sent(notes):
    with pytest.raises(InvalidInputError, match="encoder=None and truncate_dim=8"):
        notes.create_index("more", encoder=None, truncate_dim=8)


def test_an_index_is_made_with_a_first_stage_of_a_package(notes, install_engine):
    install_engine()
    made = notes.create_index("more", encoder=None, first_stages=["fixed"])
    assert made.first_stages == ("fixed", "bm25")
    with pytest.raises(InvalidInputError, match="'unknown'"):
        notes.create_index("another", encoder=None, first_stages=["unknown"])
    with pytest.raises(InvalidInputError, match="first_stages"):
        notes.create_index("another", encoder=None, first_stages="fixed")


def test_what_is_added_is_found_and_what_is_deleted_is_not(notes):
    assert notes.add(DOCUMENTS) == len(DOCUMENTS)
    assert notes.add(iter(DOCUMENTS)) == 0
    assert [hit.document for hit in notes.search("boat").hits] == DOCUMENTS[-1:]
    assert notes.delete(each.id for each in DOCUMENTS[1:2]) == 1
    assert notes.delete(["a/b ?#%ü", "unknown"]) == 0
    assert notes.delete([]) == 0
    assert notes.delete_matching({"year": {"$gte": 2020}}) == 1
    assert notes.search("split parts").hits == []
    assert notes.indexes()[0].documents == 3


def test_of_a_long_document_the_passage_alone_is_transferred(client):
    [full] = client.search("sea", filter={"kind": "file"}, top_k=1).hits
    [passage] = client.search("sea", filter={"kind": "file"}, top_k=1, text="passage").hits
    assert full.document.text == LONG
    assert passage.text == full.text == LONG[slice(*full.span)]
    assert passage.document.text == full.text
    assert passage.span == full.span
    assert passage.document.title == full.document.title
    assert passage.document.metadata == full.document.metadata


def test_texts_can_be_left_out(client):
    [hit] = client.search("boat", top_k=1, text="none").hits
    assert hit.document == replace(DOCUMENTS[-1], text="")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_repr_of_a_client_says_where_it_searches_and_not_its_key(kind):
    client = kind("http://127.0.0.1:8000", "docs", api_key="rs_secret")
    assert repr(client) == f"{kind.__name__}('http://127.0.0.1:8000', 'docs')"


def test_a_key_that_no_document_has_is_a_warning_as_in_the_library(notes):
    notes.add(DOCUMENTS)
    response = notes.search("boat", filter={"knid": "path"})
    assert ["there are 'kind'" in warning for warning in response.warnings] == [True]
    assert notes.search("boat", filter={"kind": "path"}).warnings == ()
    with pytest.warns(FilterWarning, match="'knid'"):
        assert notes.delete_matching({"knid": "path"}) == 0


def test_the_asynchronous_client_changes_an_index_too(tmp_path):
    async def change(address):
        async with AsyncClient(address, "notes") as client:
            await client.create_index("notes", encoder=None)
            assert await client.add(iter(DOCUMENTS)) == len(DOCUMENTS)
            assert await client.delete(["boat", "bread"]) == 2
            assert await client.delete_matching({"kind": "path"}) == 2
            [hit] = (await client.search("river")).hits
            assert hit.id == "long"
            [index] = await client.indexes()
            assert index.documents == 1
            assert await client.models() == []
            await client.close()

    with served(tmp_path, []) as server:
        asyncio.run(change(server.url))


@pytest.mark.slow
def test_the_asynchronous_client_reads_asynchronous_generators(tmp_path):
    async def documents():
        for number in range(2_100):  # more than one part
            await asyncio.sleep(0)
            yield Document(number, f"text {number}")

    async def ids():
        for number in range(2_000):
            yield number

    async def change(address):
        async with AsyncClient(address, "notes") as client:
            await client.create_index("notes", encoder=None)
            assert await client.add(documents()) == 2_100
            assert await client.delete(ids()) == 2_000
            [index] = await client.indexes()
            assert index.documents == 100

    with served(tmp_path, []) as server:
        asyncio.run(change(server.url))


def test_what_comes_asynchronously_is_refused_by_the_other_client(notes):
    async def documents():
        yield DOCUMENTS[0]

    for call in (notes.add, notes.delete):
        with pytest.raises(InvalidInputError, match="use AsyncClient"):
            call(documents())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": None}, "timeout=None"),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"retries": 1.5}, "retries=1.5"),
        ({"retries": True}, "retries=True"),
        ({"index": 5}, "index=5"),
        ({"api_key": 5}, "api_key"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_arguments_that_a_client_cannot_use_are_refused_by_name(kind, arguments, named):
    with pytest.raises(InvalidInputError, match=named):
        kind("http://127.0.0.1:8000", **arguments)


def test_documents_of_several_parts_all_arrive(notes):
    assert notes.add(Document(str(i), f"text {i}") for i in range(2_100)) == 2_100
    assert notes.indexes()[0].documents == 2_100
    assert notes.search("2099").hits[0].id == "2099"


def test_before_a_document_that_cannot_be_stored_whole_batches_are_written(notes):
    stream = [Document(str(i), "a text") for i in range(2_001)]
    with pytest.raises(InvalidDocumentError, match=r"document 2001 .*NaN"):
        notes.add([*stream, Document("bad", "text", metadata={"n": float("nan")})])
    assert notes.indexes()[0].documents == 2_000
    with pytest.raises(InvalidInputError, match="not one"):
        notes.add(Document("one", "text"))


# Errors


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda c: c.search(QUERY, model="big"), ModelNotFoundError, "big"),
        (lambda c: c.search(QUERY, top_k=0), InvalidInputError, "top_k"),
        (lambda c: c.search(QUERY, top_k=100_000), InvalidInputError, "1,000 are allowed"),
        (lambda c: c.search(QUERY, filter={"$nor": 1}), InvalidFilterError, "nor"),
        (lambda c: c.search(QUERY, filter={"a": {1, 2}}), InvalidFilterError, "compared with"),
        (lambda c: c.search(QUERY, filter={"a": object()}), InvalidInputError, "JSON"),
        (
            lambda c: c.search(QUERY, filter="a"),
            InvalidFilterError,
            "filter is 'a': give a mapping",
        ),
        (lambda c: c.search(QUERY, budget_ms=float("nan")), InvalidInputError, "not finite"),
        (lambda c: c.search(QUERY, top_k=None), InvalidInputError, "top_k=None"),
        (lambda c: c.search(QUERY, top_k=3.0), InvalidInputError, "top_k=3.0"),
        (lambda c: c.search(QUERY, candidates=True), InvalidInputError, "candidates=True"),
        (lambda c: c.search(QUERY, candidates="9"), InvalidInputError, "candidates='9'"),
        (lambda c: c.search(QUERY, min_relevance=2), InvalidInputError, "at most 1"),
        (lambda c: c.search(QUERY, rerank=False, budget_ms=5), InvalidInputError, "rerank=False"),
        (lambda c: c.search(QUERY, rerank=False, model="a"), InvalidInputError, "model='a'"),
        (lambda c: c.search(QUERY, text="some"), InvalidInputError, "text='some' is unknown"),
        (lambda c: c.delete([1.5]), InvalidInputError, "1.5"),
        (lambda c: c.delete({"a": 1}), InvalidInputError, "ids is a dict"),
        (lambda c: c.create_index(5, encoder=None), InvalidInputError, "index=5"),
        (lambda c: c.create_index("new", encoder=object()), InvalidInputError, "object"),
        (lambda c: c.add("text"), InvalidInputError, "one string"),
        (lambda c: c.add({"a": DOCUMENTS[0]}), InvalidInputError, "documents is a dict"),
        (lambda c: c.search("\ud800"), InvalidInputError, "surrogate"),
        (lambda c: c.search_batch("query"), InvalidInputError, "one string"),
        (lambda c: c.rank_texts(QUERY, ["text"], top_k=0), InvalidInputError, "top_k"),
        (lambda c: c.rank_texts(QUERY, "text"), InvalidInputError, "one string"),
        (lambda c: c.rank_texts(QUERY, ["text", None]), InvalidInputError, "text 1"),
        (lambda c: c.rank_texts(QUERY, ["text"], model="big"), ModelNotFoundError, "big"),
        (lambda c: c.create_index("docs", encoder=None), IndexExistsError, "docs"),
        (lambda c: c.create_index(".hidden", encoder=None), InvalidInputError, "not a name"),
        (lambda c: c.create_index("new", encoder="no/model"), InvalidInputError, "no/model"),
        (lambda c: c.delete("join"), InvalidInputError, "one string"),
        (lambda c: c.delete_matching({}), InvalidInputError, "empty filter"),
        (lambda c: c.delete_matching({"a": {"$in": 5}}), InvalidFilterError, "in"),
        (lambda c: c.find({"a": {"$regex": "x"}}), InvalidFilterError, "regex"),
    ],
)
def test_what_the_api_refuses_is_the_librarys_own_error(client, ask, error, message):
    with pytest.raises(error, match=message):
        ask(client)


def test_an_unknown_index_is_not_found(url):
    with Client(url, "nothing") as client:
        for ask in (client.search, client.delete_matching, client.add):
            argument: Any = {"search": QUERY, "delete_matching": {"a": 1}, "add": DOCUMENTS}
            with pytest.raises(IndexNotFoundError, match="nothing") as raised:
                ask(argument[ask.__name__])
            assert "request" in raised.value.__notes__[0]


def test_an_index_is_named_before_it_is_changed(url):
    with Client(url) as client:
        for ask in (client.add, client.delete):
            with pytest.raises(InvalidInputError, match="name the index"):
                ask([])


def test_a_failing_reranker_is_a_rerank_error_where_nothing_else_can_answer(url):
    with Client(url, retries=0) as client, pytest.raises(RerankError, match="burnt down"):
        client.rank_texts(QUERY, ["text"], model="broken")


def every(kind: type[RerankSearchError]) -> Iterator[type[RerankSearchError]]:
    for each in kind.__subclasses__():
        if each.__module__ == rerank_search.errors.__name__:
            yield each
            yield from every(each)


@pytest.mark.parametrize("kind", list(every(RerankSearchError)))
def test_every_error_that_the_api_tells_apart_comes_back_as_it_was(scripted, kind):
    told = api_error(kind("what went wrong"))
    scripted.answers = [refusal(told.status, told.type, "what went wrong", told.code)]
    with scripted.client(retries=0) as client, pytest.raises(RerankSearchError) as raised:
        client.search(QUERY)
    if told.type in ("internal", "model_server_failed"):
        assert isinstance(raised.value, ServerError)
        assert raised.value.type == told.type
    else:  # nothing that a server does raises UnsupportedError
        assert type(raised.value) is (InvalidInputError if kind is UnsupportedError else kind)
        assert str(raised.value) == "what went wrong"


@pytest.mark.parametrize("code", [None, "one_of_a_later_version", 5])
def test_a_code_that_is_missing_or_unknown_leaves_the_class_of_the_type(scripted, code):
    scripted.answers = [refusal(400, "invalid_request", "what went wrong", code)]
    with scripted.client() as client, pytest.raises(InvalidInputError) as raised:
        client.search(QUERY)
    assert type(raised.value) is InvalidInputError


def test_a_key_is_sent_and_a_wrong_one_is_refused(tmp_path, home):
    file = tmp_path / "keys.json"
    secret = add_key(file, "reader", "read")
    with served(home, [], keys=KeyFile(file)) as server:
        address = server.url
        with Client(address, "docs", api_key=secret) as client:
            assert client.search(QUERY).hits
            with pytest.raises(ServerError, match="reader") as raised:
                client.delete(["join"])
            assert (raised.value.status, raised.value.type) == (403, "forbidden")
        for key in (None, "rs_wrong"):
            with (
                Client(address, "docs", api_key=key) as client,
                pytest.raises(ServerError, match="api_key") as raised,
            ):
                client.search(QUERY)
            assert (raised.value.status, raised.value.type) == (401, "unauthorized")
            assert raised.value.request_id in str(raised.value)
            assert f"{address}/v1/search" in str(raised.value)
            assert "rs_wrong" not in str(raised.value)


def test_what_the_rate_limit_asks_for_is_waited(home):
    waits: list[float] = []
    with (
        served(home, [], limits=Limits(requests_per_minute=1)) as server,
        Client(server.url, "docs", retries=2, _sleep=waits.append, _random=lambda: 0.0) as client,
    ):
        assert client.search(QUERY).hits
        with pytest.raises(ServerError, match=r"\(3 attempts\).*more retries") as raised:
            client.search(QUERY)
    assert (raised.value.status, raised.value.type) == (429, "rate_limited")
    assert len(waits) == 2
    assert all(1 <= wait <= 60 for wait in waits)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_url": "localhost:8000"}, "http://HOST:PORT"),
        ({"base_url": "ftp://localhost"}, "http://HOST:PORT"),
        ({"base_url": "http://localhost:port"}, "not a valid URL"),
        ({"base_url": "http://localhost/?index=a"}, "http://HOST:PORT"),
        ({"base_url": "http://me:secret@localhost"}, "api_key"),
        ({"api_key": ""}, "key add"),
        ({"api_key": "rs_\n"}, "key add"),
        ({"timeout": 0}, "timeout"),
        ({"retries": -1}, "retries"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_arguments_that_cannot_be_used_are_refused_at_once(kind, arguments, message):
    with pytest.raises(InvalidInputError, match=message) as raised:
        kind(**{"base_url": "http://localhost", **arguments})
    assert "secret" not in str(raised.value)


# Attempts at a server with given answers


Answer = tuple[int, dict[str, str], bytes]


def refusal(
    status: int, kind: str = "overloaded", message: str = "try again", code=None, **headers
) -> Answer:
    error = {"type": kind, "message": message} | ({} if code is None else {"code": code})
    return (
        status,
        {"X-Request-ID": "abc", **{name.replace("_", "-"): v for name, v in headers.items()}},
        json.dumps({"error": error}).encode(),
    )


def success(content: Any) -> Answer:
    return 200, {}, json.dumps(content).encode()


FOUND = success(
    {
        "index": "docs",
        "results": [
            {
                "query": QUERY,
                "hits": [],
                "first_stage": "bm25",
                "candidates": 0,
                "reranked": False,
                "reranked_count": 0,
                "truncated": 0,
                "timings": {},
            }
        ],
    }
)


@dataclass
class Scripted:
    """A server with a list of answers; None hangs up, a number is silent for these seconds."""

    url: str = ""
    answers: list[Answer | float | None] = field(default_factory=list)
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def client(self, **options: Any) -> Client:
        """A client that does not wait, but records the longest possible wait."""
        return Client(
            self.url, "docs", **{"_sleep": self.waits.append, "_random": lambda: 1.0, **options}
        )


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.requests.append((self.command, self.path, body))
            answer = script.answers.pop(0)
            self.close_connection = True
            if isinstance(answer, float):
                script.closing.wait(answer)
            elif answer is not None:
                status, headers, content = answer
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield script
        script.closing.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answers", "waits"),
    [
        ([], []),
        ([refusal(429)], [0.5]),
        ([refusal(503), refusal(429), None], [0.5, 1.0, 2.0]),
        ([refusal(429, Retry_After="7")], [7.5]),
        ([refusal(503, Retry_After="7"), refusal(503, Retry_After="0")], [7.5, 1.0]),
        ([refusal(503, Retry_After="9999")], [60.5]),
        ([refusal(503, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT")], [0.5]),
        ([(503, {}, b"<html>busy</html>")], [0.5]),
    ],
)
def test_a_search_is_repeated_after_waits(scripted, answers, waits):
    scripted.answers = [*answers, FOUND]
    with scripted.client() as client:
        assert client.search(QUERY).query == QUERY
    assert scripted.waits == waits
    assert len(set(scripted.requests)) == 1


def test_a_wait_is_a_random_part_of_what_it_may_be(scripted):
    scripted.answers = [refusal(503), refusal(503), FOUND]
    parts = iter([0.25, 0.5])
    with scripted.client(_random=lambda: next(parts)) as client:
        client.search(QUERY)
    assert scripted.waits == [0.125, 0.5]


@pytest.mark.parametrize(
    ("options", "answers", "waits"),
    [
        ({"retries": 0}, [refusal(503)], []),
        ({"retries": 2}, [refusal(503)] * 3, [0.5, 1.0]),
        ({"retries": 9}, [refusal(503)] * 10, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]),
        # All waits together are at most timeout * retries.
        ({"retries": 2, "timeout": 3.0}, [refusal(503, Retry_After="7")], []),
        ({"retries": 5, "timeout": 1.0}, [refusal(503)] * 4, [0.5, 1.0, 2.0]),
        ({}, [refusal(500, "internal")], []),
        ({}, [refusal(504, "gateway")], []),
        ({}, [(502, {}, b"<html>bad gateway</html>")], []),
    ],
)
def test_what_stays_refused_is_a_server_error(scripted, options, answers, waits):
    scripted.answers = list(answers)
    with scripted.client(**options) as client, pytest.raises(ServerError) as raised:
        client.search(QUERY)
    assert scripted.waits == waits
    assert scripted.answers == []
    assert raised.value.status == answers[-1][0]


def test_a_call_with_no_connection_says_where_it_went_and_is_repeated():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/api/"
    waits: list[float] = []
    with Client(url, "docs", _sleep=waits.append, _random=lambda: 0.5) as client:
        for ask in (lambda: client.search(QUERY), lambda: client.create_index("new")):
            with pytest.raises(ServerError, match=r"/api/v1/.*serve` runs") as raised:
                ask()
            assert waits == [0.25, 0.5, 1.0]
            assert (raised.value.status, raised.value.type) == (None, "connection")
            waits.clear()


def test_making_an_index_is_not_repeated_where_its_answer_was_lost(scripted):
    scripted.answers = [refusal(503), None]
    with scripted.client() as client, pytest.raises(ServerError, match="2 attempts") as raised:
        client.create_index("new", encoder=None)
    assert raised.value.type == "connection"
    assert scripted.waits == [0.5]


def test_what_took_too_long_is_not_repeated(scripted):
    scripted.answers = [5.0]
    with (
        scripted.client(timeout=0.1) as client,
        pytest.raises(ServerError, match=r"within 0\.1 s") as raised,
    ):
        client.search(QUERY)
    assert raised.value.type == "timeout"
    assert scripted.waits == []


@pytest.mark.parametrize("content", [b"<html>welcome</html>", b"{}", b"[]", b'{"results": [1]}'])
def test_an_answer_of_some_other_server_is_a_server_error(scripted, content):
    scripted.answers = [(200, {}, content)]
    with scripted.client() as client, pytest.raises(ServerError, match="base_url") as raised:
        client.search(QUERY)
    assert (raised.value.status, raised.value.type) == (200, "unexpected")


def test_documents_are_sent_again_batch_by_batch(scripted):
    def stored(count: int) -> Answer:
        return success({"written": count, "failed": 0, "errors": []})

    scripted.answers = [stored(2_000), refusal(503), None, stored(2_000), stored(500)]
    with scripted.client() as client:
        count = client.add(Document(str(i), "text") for i in range(4_500))
    assert count == 4_500
    bodies = [body for _, _, body in scripted.requests]
    assert bodies[1] == bodies[2] == bodies[3]
    lines = b"".join([bodies[0], bodies[3], bodies[4]]).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [str(i) for i in range(4_500)]


def test_no_batch_is_above_some_megabytes_unless_one_document_is(scripted):
    sizes = [900_000, 900_000, 900_000, 3_000_000, 10]
    scripted.answers = [success({"written": 1, "failed": 0, "errors": []}) for _ in range(4)]
    with scripted.client() as client:
        assert client.add(Document(str(i), "ü" * (n // 2)) for i, n in enumerate(sizes)) == 4
    counts = [len(body.splitlines()) for _, _, body in scripted.requests]
    assert counts == [2, 1, 1, 1]


def test_lines_that_the_server_has_not_taken_are_named_with_what_was_written(scripted):
    errors = [{"line": line, "error": f"too odd ({line})"} for line in range(2, 9)]
    scripted.answers = [
        success({"written": 2_000, "failed": 0, "errors": []}),
        success({"written": 993, "failed": 7, "errors": errors}),
    ]
    with scripted.client() as client, pytest.raises(InvalidDocumentError) as raised:
        client.add(Document(str(i), "text") for i in range(3_000))
    message = str(raised.value)
    assert "7 of the documents 2,000 to 2,999" in message
    assert "document 2001: too odd (2); document 2002: too odd (3)" in message
    assert "2,993 others were written" in message


def test_names_in_a_path_are_quoted(scripted):
    scripted.answers = [success({"deleted": 1})]
    with Client(scripted.url + "/", "a/../ü?#%") as client:
        client.delete(["x/y"])
    [(_, path, body)] = scripted.requests
    assert path == "/v1/indexes/a%2F..%2F%C3%BC%3F%23%25/delete"
    assert json.loads(body) == {"ids": ["x/y"]}


def test_the_asynchronous_client_waits_without_holding_up_the_loop(scripted):
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def search():
        ticking = asyncio.create_task(tick())
        async with AsyncClient(scripted.url, "docs", _random=lambda: 0.4) as client:
            response = await client.search(QUERY)
        ticking.cancel()
        return response

    scripted.answers = [refusal(503), FOUND]
    assert asyncio.run(search()).query == QUERY
    assert ticks >= 5


def test_both_clients_have_the_methods_and_arguments_of_a_searcher():
    def arguments(method: Callable[..., Any]) -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(method).parameters)

    names = [name for name in vars(Client) if not name.startswith("_")]
    assert names == [name for name in vars(AsyncClient) if not name.startswith("_")]
    for name in names:
        own, other = arguments(getattr(Client, name)), arguments(getattr(AsyncClient, name))
        if name in ("add", "delete"):  # only AsyncClient can read asynchronous iterables
            own, other = (
                {key: each.replace(annotation=None) for key, each in parameters.items()}
                for parameters in (own, other)
            )
        assert own == other
    for name in ("search", "search_batch"):
        own = arguments(getattr(Client, name))
        assert own.pop("model").default is None
        assert own.pop("text").default == "full"
        assert own == arguments(getattr(Searcher, name))


def test_the_client_needs_no_heavy_library():
    code = """
import sys, rerank_search.client
heavy = {"torch", "faiss", "tantivy", "sentence_transformers", "transformers", "numpy", "fastapi"}
raise SystemExit(", ".join(heavy & set(sys.modules)) or None)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
