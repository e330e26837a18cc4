from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi import Response
from fastapi.responses import JSONResponse

from rerank_search import (
    Document,
    Index,
    IndexMismatchError,
    InvalidInputError,
    ModelNotFoundError,
    RemoteEncoder,
    Searcher,
)
from rerank_search.client import ServerError
from rerank_search.models.prompts import Prompts
from rerank_search.retrieval.encoders import encoder_of
from tests.apps import ModelApp, best_first, serving

TEXTS = ["join the paths", "the bread is in the oven", "", "a boat on the river", "join the paths"]


def vector(text: str, dimensions: int = 8) -> list[float]:
    """Numbers that depend on the text, not of length 1."""
    numbers = [1.0] * dimensions
    for place, letter in enumerate(text):
        numbers[(place + ord(letter)) % dimensions] += 0.5
    return numbers


def unit(text: str, dimensions: int = 8) -> np.ndarray:
    found = np.array(vector(text, dimensions), np.float32)
    return found / np.linalg.norm(found)


def vectors_app() -> ModelApp:
    made = ModelApp()

    def answer(body: dict[str, Any]) -> Any:
        found = [vector(text, body.get("dimensions", 8)) for text in body["input"]]
        return {"object": "list", "data": best_first(found, "embedding"), "usage": {}}

    made.add("/v1/embeddings", "input", answer)
    return made


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[ModelApp, str]]:
    server = vectors_app()
    with serving(server.app) as url:
        yield server, f"{url}/v1/embeddings"


@pytest.fixture
def server(running: tuple[ModelApp, str]) -> Iterator[ModelApp]:
    yield running[0]
    running[0].forget()


@pytest.fixture
def remote(server: ModelApp, running: tuple[ModelApp, str]) -> Any:
    return lambda model="", **arguments: RemoteEncoder(running[1] + model, **arguments)


def test_each_text_gets_its_own_vector_whatever_the_order_of_the_answer(remote):
    found = remote().encode(TEXTS)
    assert found.dtype == np.float32
    assert found == pytest.approx(np.stack([unit(text) for text in TEXTS]))


def test_the_request_is_that_of_the_api(server, remote):
    remote("#nomic-embed-text", truncate_dim=4).encode(TEXTS[:2])
    assert server.asked == [
        {
            "model": "nomic-embed-text",
            "input": TEXTS[:2],
            "encoding_format": "float",
            "dimensions": 4,
        }
    ]


def test_prompts_are_put_before_the_texts_of_their_task(server, remote):
    encoder = remote(query_prompt="query: ", document_prompt="passage: ")
    assert encoder.prompts == Prompts(query="query: ", document="passage: ")
    assert encoder.tells_tasks_apart
    encoder.encode(["paths"], task="query", prompt=encoder.prompts.of("query"))
    encoder.encode(["paths"], task="document", prompt=encoder.prompts.of("document"))
    assert [body["input"] for body in server.asked] == [["query: paths"], ["passage: paths"]]
    assert not remote().tells_tasks_apart


def test_no_texts_give_no_vectors(server, remote):
    assert remote().encode([]).shape == (0, 8)


def test_the_dimension_is_asked_for_once(server, remote):
    encoder = remote(truncate_dim=4)
    assert (encoder.dimension, encoder.dimension) == (4, 4)
    assert len(server.asked) == 1


NAN = Response(json.dumps({"data": [{"index": 0, "embedding": [float("nan"), 1.0]}]}))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            JSONResponse({"error": {"message": "no such model"}}, 404),
            "path or model .'no such model'",
        ),
        (JSONResponse({"error": {"message": "too long"}}, 400), "400: 'too long'"),
        (JSONResponse({"error": "too long"}, 413), "413: 'too long'"),
        (Response(status_code=401), "wants a key: set RERANK_SEARCH_KEY_127_0_0_1"),
        (Response("<html>", media_type="text/html"), "text/html, not JSON"),
        (JSONResponse({"embeddings": [[1.0]]}), "has no results with index and embedding"),
        (JSONResponse({"data": []}), r"for the texts \[\], and 1 were sent"),
        (JSONResponse({"data": [{"index": 1, "embedding": [1.0]}]}), r"for the texts \[1\]"),
        (JSONResponse({"data": [{"index": 0, "embedding": "AAAA"}]}), "has no results"),
        (JSONResponse({"data": [{"index": 0, "embedding": "1234"}]}), "has no results"),
        (JSONResponse({"data": [{"index": 0, "embedding": 1.0}]}), "has no results"),
        (JSONResponse({"data": [{"index": 0, "embedding": {"1": 2}}]}), "has no results"),
        (JSONResponse({"data": [{"index": 0, "embedding": [1e39]}]}), "has no results"),
        (JSONResponse({"data": [{"index": 0, "embedding": [10**400]}]}), "has no results"),
        (JSONResponse({"data": [{"index": 0, "embedding": [0.0, 0.0]}]}), "that is zero"),
        (JSONResponse({"data": [{"index": 0, "embedding": []}]}), "that is zero"),
        (NAN, "has no results with index and embedding"),
    ],
)
def test_an_error_is_raised_at_once_and_names_the_url(server, running, remote, answer, message):
    server.first = [answer]
    with pytest.raises(ServerError, match=message) as raised:
        remote().encode(TEXTS[:1])
    assert running[1] in str(raised.value)
    assert len(server.asked) == 1


def test_vectors_of_different_lengths_are_an_error(server, remote):
    wrong = [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]
    server.first = [JSONResponse({"data": wrong})]
    with pytest.raises(ServerError, match=r"vectors of \[1, 2\] numbers"):
        remote().encode(TEXTS[:2])


def test_another_model_behind_the_url_has_another_identity(server, remote):
    one, other = remote(), remote()
    assert one.identity() == other.identity()
    server.first = [JSONResponse({"data": [{"index": 0, "embedding": [1.0, *[0.0] * 7]}]})]
    assert one.identity() != other.identity()


def test_a_url_is_the_name_of_an_encoder(server, running):
    encoder = encoder_of(f"{running[1]}#model")
    assert isinstance(encoder, RemoteEncoder)
    assert encoder.name == f"{running[1]}#model"
    assert encoder_of(encoder) is encoder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "http://h/v1/embed"}, "'http://h/v1/embed' does not end with /embeddings"),
        ({"name": "nomic"}, "url='nomic' is not a URL"),
        ({"name": "http://u:p@h/v1/embeddings"}, "contains a user name"),
        ({"name": "http://h/embeddings", "truncate_dim": 0}, "truncate_dim=0 must be at least 1"),
        ({"name": "http://h/embeddings", "query_prompt": 5}, "query_prompt=5 is not a string"),
        ({"name": "http://h/embeddings", "texts_at_once": 0}, "texts_at_once=0 must be at least"),
        ({"name": "http://h/embeddings", "timeout": -1}, "timeout=-1 must be above 0"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        RemoteEncoder(**arguments)


def test_another_machine_is_not_called_offline(monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_OFFLINE", "1")
    encoder = RemoteEncoder("https://api.openai.com/v1/embeddings#text-embedding-3-small")
    for ask in (encoder.check_found, encoder.identity, lambda: encoder.encode(["a"])):
        with pytest.raises(ModelNotFoundError, match=r"another machine.*RERANK_SEARCH_OFFLINE"):
            ask()


DOCUMENTS = [Document(str(place), text, "Title") for place, text in enumerate(TEXTS)]


def test_an_index_is_made_and_searched_by_the_url_alone(server, running, tmp_path):
    name = f"{running[1]}#model"
    with Index.create(tmp_path / "notes", encoder=name) as index:
        index.add(DOCUMENTS)
    with Index.open(tmp_path / "notes") as index:
        [found] = index.retriever("dense").retrieve(["a boat"], 5)
        expected = {
            document.id: unit("a boat") @ unit(f"Title\n{document.text}") for document in DOCUMENTS
        }
        assert {hit.id: hit.score for hit in found} == pytest.approx(expected, abs=1e-5)
        assert index.verify() == []
        assert f"{running[1]}#model" in repr(index)
        assert index.info().encoder == name


def test_prompts_given_by_hand_stay_with_the_index(server, remote, tmp_path):
    encoder = remote(query_prompt="query: ", document_prompt="passage: ")
    with Index.create(tmp_path / "notes", encoder=encoder) as index:
        index.add(DOCUMENTS[:1])
    server.asked.clear()
    with Index.open(tmp_path / "notes") as index:
        index.add(DOCUMENTS[1:2])
        index.retriever("dense").retrieve(["a boat"], 5)
    read = [text for body in server.asked for text in body["input"]]
    assert "query: a boat" in read
    assert "passage: Title\nthe bread is in the oven" in read


def test_another_model_behind_the_url_is_noticed_by_the_index(server, running, tmp_path):
    with Index.create(tmp_path / "notes", encoder=running[1]) as index:
        index.add(DOCUMENTS)
    other = [1.0, *[0.0] * 7]
    with Index.open(tmp_path / "notes") as index:
        for _ in range(2):
            server.first = [JSONResponse({"data": [{"index": 0, "embedding": other}]})] * 2
            with pytest.raises(IndexMismatchError, match="another model than the one"):
                index.retriever("dense").retrieve(["a boat"], 5)
            server.first = []
        assert index.retriever("bm25").retrieve(["a boat"], 5)[0]
        assert index.retriever("dense").retrieve(["a boat"], 5)[0]  # it answers again


def test_a_model_that_changes_while_an_index_is_open_is_noticed(server, running, tmp_path, caplog):
    dimensions = 8

    def answer(body: dict[str, Any]) -> Any:
        found = [vector(text, dimensions) for text in body["input"]]
        return {"data": best_first(found, "embedding")}

    server.add("/changing/v1/embeddings", "input", answer)
    url = running[1].replace("/v1/", "/changing/v1/")
    with Index.create(tmp_path / "notes", encoder=url) as index:
        index.add(DOCUMENTS[:2])
        searcher = Searcher(index, reranker=None)
        searcher.search("a boat")
        assert index.verify() == []
        dimensions = 12
        for attempt in (
            lambda: searcher.search_batch(["a boat", "some bread"]),
            lambda: index.add(DOCUMENTS[2:]),
            index.rebuild,
        ):
            with pytest.raises(IndexMismatchError, match=r"length 12|12 dimensions instead of 8"):
                attempt()
        assert "12 dimensions instead of 8" in " ".join(index.verify())
    with Index.open(tmp_path / "notes") as index:
        assert "lacks the newest documents" in caplog.text
        assert [hit.id for hit in index.retriever("bm25").retrieve(["boat"], 5)[0]] == ["3"]
    dimensions = 8
    with Index.open(tmp_path / "notes") as index:
        assert index.verify() == []


def test_another_model_of_the_same_length_adds_nothing_to_an_open_index(server, running, tmp_path):
    other = [1.0, *[0.0] * 7]
    with Index.create(tmp_path / "notes", encoder=running[1]) as index:
        index.add(DOCUMENTS[:2])
        server.first = [JSONResponse({"data": [{"index": 0, "embedding": other}]})] * 2
        with pytest.raises(IndexMismatchError, match="it gives other vectors"):
            index.add(DOCUMENTS[2:])
        server.first = []
        index.add([])  # the server has the former model again
        assert index.verify() == []


@pytest.mark.parametrize("texts", ["abc", [5], ["\ud800"]])
def test_what_is_no_list_of_texts_is_refused(server, remote, texts):
    with pytest.raises(InvalidInputError, match="text"):
        remote().encode(texts)
    assert server.asked == []


def test_what_is_acknowledged_is_kept_when_the_server_fails(server, running, tmp_path):
    with Index.create(tmp_path / "notes", encoder=running[1]) as index:
        index.add(DOCUMENTS[:2])
        server.first = [Response(status_code=500)]
        with pytest.raises(ServerError):
            index.add(DOCUMENTS[2:])
    with Index.open(tmp_path / "notes") as index:  # which makes up for the vectors
        assert index.find() == DOCUMENTS
        assert index.verify() == []


def test_an_index_opens_and_finds_by_words_while_the_server_is_down(
    server, running, tmp_path, caplog
):
    with Index.create(tmp_path / "notes", encoder=running[1]) as index:
        index.add(DOCUMENTS[:2])
        server.first = [Response(status_code=500)]
        with pytest.raises(ServerError):
            index.add(DOCUMENTS[2:])
        assert [hit.id for hit in index.retriever("bm25").retrieve(["boat"], 5)[0]] == ["3"]
    server.first = [Response(status_code=500)] * 2
    with Index.open(tmp_path / "notes") as index:
        assert "lacks the newest documents" in caplog.text
        response = Searcher(index, reranker=None).search("boat", first_stage="bm25")
        assert [hit.id for hit in response.hits] == ["3"]
        with pytest.raises(ServerError):
            index.retriever("dense").retrieve(["boat"], 5)
        index.add([Document("new", "a new boat")])  # it answers again
        found = index.retriever("dense").retrieve(["boat"], 9)[0]
        assert {hit.id for hit in found} == {"new", *(document.id for document in DOCUMENTS)}
        assert index.verify() == []


def test_verify_says_that_the_server_fails(server, running, tmp_path):
    with Index.create(tmp_path / "notes", encoder=running[1]) as index:
        index.add(DOCUMENTS)
        server.first = [Response(status_code=500)] * 4
        [problem] = index.verify()
        assert "500: the server gives no reason" in problem
        server.first = []
        assert index.verify() == []
