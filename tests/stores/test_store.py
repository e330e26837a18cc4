"""What all stores share, by a store in memory that ranks equal scores the wrong way round."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rerank_search import (
    Document,
    EncodedDocument,
    EncodedQuery,
    Encoder,
    Hit,
    InvalidDocumentError,
    InvalidFilterError,
    InvalidInputError,
    Searcher,
    StoreMismatchError,
    StoreNotFoundError,
    StoreUnreachableError,
)
from rerank_search.stores import Store
from rerank_search.testing import ConformanceError, check_store
from tests.stores.listed import ListedStore

Opened = Callable[..., Store]

BOAT, BREAD = Document("boat", "a boat", "Boats"), Document("bread", "bread in the oven")


def ids(store: Store, stage: str, query: str, k: int = 10, **arguments: object) -> list[str]:
    [hits] = store.retriever(stage).retrieve([query], k, **arguments)
    return [hit.id for hit in hits]


def test_a_store_of_own_vectors_conforms(opened: Opened):
    check_store(opened(dimension=8, create=True))


def test_a_store_with_an_encoder_conforms(opened: Opened, tiny_encoder: Path):
    check_store(opened(encoder=str(tiny_encoder), create=True))


def test_a_store_without_vectors_conforms(opened: Opened):
    store = opened(dimension=0, create=True)
    assert store.first_stages == ("text",)
    check_store(store)


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        ("upsert", "documents after add"),
        ("fetch", "must stay as it is"),
        ("order", "the first 1 of the whole ranking"),
        ("scores", "must be the cosine"),
        ("filter", "hits must match the filter"),
        ("delete", "delete documents"),
    ],
)
def test_a_store_that_breaks_a_rule_is_told_which(opened: Opened, broken: str, rule: str):
    with pytest.raises(ConformanceError, match=rule):
        check_store(opened(dimension=8, create=True, broken=broken))


def test_equal_scores_are_fetched_until_all_are_there(opened: Opened):
    store = opened(dimension=0, create=True)
    store.add([Document(f"{number:03}", "a boat") for number in range(200)])
    assert ids(store, "text", "boat", k=3) == ["000", "001", "002"]


def test_a_searcher_searches_a_store(opened: Opened, tiny_encoder: Path, tiny_reranker: Path):
    store = opened(encoder=str(tiny_encoder), create=True)
    store.add([BOAT, BREAD])
    response = Searcher(store, str(tiny_reranker)).search("the boat", top_k=5)
    assert response.first_stage == "hybrid"
    assert sorted(hit.id for hit in response.hits) == ["boat", "bread"]
    assert all(hit.document in (BOAT, BREAD) for hit in response.hits)
    assert all({"text", "dense", "rerank"} <= hit.stage_scores.keys() for hit in response.hits)


def test_the_encoder_reads_the_title_and_uses_its_prompts(
    opened: Opened, prompted_encoder: Callable[..., Path]
):
    model = Encoder(prompted_encoder({"query": "question ", "document": "answer "}))
    store = opened(encoder=model, create=True)
    store.add([BOAT])
    [[hit]] = store.retriever("dense").retrieve(["the boat"], 1)
    [asked] = model.encode(["the boat"], task="query", prompt="question ")
    [stored] = model.encode(["Boats\na boat"], task="document", prompt="answer ")
    assert hit.score == pytest.approx(float(asked @ stored), abs=1e-5)


def test_the_recorded_encoder_is_used_again(opened: Opened, tiny_encoder: Path):
    opened(encoder=str(tiny_encoder), create=True).add([BOAT])
    again = opened()
    assert again.encoder is not None
    assert again.encoder.name == str(tiny_encoder)
    assert ids(again, "hybrid", "boat") == ["boat"]


def test_another_encoder_is_refused(opened: Opened, tiny_encoder: Path, prompted_encoder):
    opened(encoder=str(tiny_encoder), create=True)
    same = opened(encoder=str(prompted_encoder({})))  # the same model in another folder
    assert same.encoder is not None
    with pytest.raises(StoreMismatchError, match="16 dimensions instead of 32"):
        opened(encoder=Encoder(tiny_encoder, truncate_dim=16))


def test_an_encoder_can_be_recorded_later(opened: Opened, tiny_encoder: Path):
    opened(dimension=32, create=True)
    assert opened(encoder=str(tiny_encoder)).encoder is not None
    assert opened().encoder is None
    opened(encoder=str(tiny_encoder), create=True)
    assert opened().encoder is not None


def test_an_encoder_of_another_dimension_is_refused(opened: Opened, tiny_encoder: Path):
    opened(dimension=8, create=True)
    with pytest.raises(StoreMismatchError, match=r"32 numbers, and those of .* have 8"):
        opened(encoder=str(tiny_encoder))


@pytest.mark.parametrize("dimension", [8, 0])
def test_an_existing_store_of_other_vectors_is_refused(
    opened: Opened, tiny_encoder: Path, dimension: int
):
    opened(dimension=4, create=True)
    with pytest.raises(StoreMismatchError, match="has vectors of 4 numbers"):
        opened(dimension=dimension, create=True)
    opened("other", encoder=str(tiny_encoder), create=True)
    with pytest.raises(StoreMismatchError, match="made with the encoder"):
        opened("other", dimension=32)


def test_an_encoder_without_vectors_is_refused(opened: Opened, tiny_encoder: Path):
    opened(dimension=0, create=True)
    with pytest.raises(StoreMismatchError, match="has no vectors"):
        opened(encoder=str(tiny_encoder))


def test_another_distance_is_refused(opened: Opened):
    opened(dimension=4, create=True)
    with pytest.raises(StoreMismatchError, match="compares vectors by euclid"):
        opened(distance="euclid")


def test_own_vectors_are_stored_as_they_are_unless_the_distance_needs_length_1(opened: Opened):
    for distance, stored in (("cosine", [3.0, 4.0]), ("dot", [0.6, 0.8])):
        store = opened(distance, dimension=2, create=True, distance=distance)
        store.add([Document("a", "a boat")], vectors=[[3.0, 4.0]])
        record = ListedStore.collections[distance][1]["a"]
        assert np.frombuffer(record.vector or b"", "<f4").tolist() == pytest.approx(stored)


def test_a_query_without_a_vector_is_told_what_is_missing(opened: Opened):
    store = opened(dimension=2, create=True)
    store.add([EncodedDocument("a", "a boat", vector=[1.0, 0.0])])
    with pytest.raises(InvalidInputError, match="which encoder made the vectors of listed"):
        ids(store, "hybrid", "boat")
    assert ids(store, "hybrid", EncodedQuery("boat", [1.0, 0.0])) == ["a"]
    assert ids(store, "dense", "  ") == []
    with pytest.raises(InvalidInputError, match="has 3 numbers"):
        ids(store, "dense", EncodedQuery("boat", [1.0, 0.0, 0.0]))


def test_a_query_with_a_vector_is_refused_where_an_encoder_makes_them(
    opened: Opened, tiny_encoder: Path
):
    store = opened(encoder=str(tiny_encoder), create=True)
    with pytest.raises(InvalidInputError, match="leave query_vector out"):
        ids(store, "dense", EncodedQuery("boat", [1.0] * 32))
    with pytest.raises(InvalidDocumentError, match="has a vector"):
        store.add([EncodedDocument("a", "a boat", vector=[1.0] * 32)])


def test_a_lost_connection_is_made_again(opened: Opened):
    store = opened(dimension=0, create=True, failing=2)
    assert store.add([BOAT, BREAD]) == 2  # written twice, after two lost answers
    assert len(store) == 2


def test_a_connection_that_stays_lost_is_an_error(opened: Opened):
    store = opened(dimension=0, create=True, failing=2, retries=1)
    with pytest.raises(StoreUnreachableError, match="was lost"):
        store.add([BOAT])


def test_a_stage_that_fails_adds_no_score(opened: Opened, caplog: pytest.LogCaptureFixture):
    store = opened(dimension=2, create=True)
    store.add([BOAT], vectors=[[1.0, 0.0]])
    query = EncodedQuery("boat", [1.0, 0.0])
    [hits] = store.retriever("dense").retrieve([query], 1)
    failing = opened(failing=1, retries=0)
    with caplog.at_level(logging.WARNING):
        [[hit]] = failing.stage_scores([query], [hits])
    assert "no score of the first stage text" in caplog.text
    assert hit.stage_scores.keys() == {"dense"}
    assert store.stage_scores([query], [hits])[0][0].stage_scores == {"dense": 1.0, "text": 1.0}


def test_a_document_that_was_deleted_keeps_its_scores(opened: Opened):
    store = opened(dimension=0, create=True)
    store.add([BOAT, BREAD])
    rankings = store.retriever("text").retrieve(["boat bread"], 2)
    store.delete(["boat"])
    assert store.stage_scores(["boat bread"], rankings) == rankings
    assert [hit.stage_scores for hit in store.stage_scores(["boat"], [[]])[0]] == []


def test_what_is_not_a_document_takes_its_batch_with_it(opened: Opened):
    store = opened(dimension=0, create=True)
    with pytest.raises(InvalidDocumentError, match="document 1"):
        store.add([BOAT, "bread"])  # type: ignore[list-item]
    assert len(store) == 0
    with pytest.raises(InvalidDocumentError, match="document 2"):
        store.add([BOAT, BREAD, None], batch_size=2)  # type: ignore[list-item]
    assert len(store) == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"progress": "bar"}, "progress"),
        ({"vectors": [[1.0, 0.0]]}, "1 vectors"),
        ({"vectors": [[1.0], [1.0]]}, "vector of 1 numbers"),
        ({}, "no vector"),
    ],
)
def test_invalid_arguments_of_add_are_refused(opened: Opened, arguments, reason: str):
    store = opened(dimension=2, create=True)
    with pytest.raises(InvalidInputError, match=reason):
        store.add([BOAT, BREAD], **arguments)
    assert len(store) == 0


def test_progress_counts_written_documents(opened: Opened):
    store, told = opened(dimension=0, create=True), []
    store.add([BOAT, BREAD, replace(BOAT, id="third")], batch_size=2, progress=told.append)
    assert told == [2, 1]


def test_ids_that_no_document_can_have_are_unknown(opened: Opened):
    store = opened(dimension=0, create=True)
    store.add([Document("a", "boat")])
    assert store.documents(["\ud800", "a", "", "a\0"]) == [None, Document("a", "boat"), None, None]
    assert store.delete(["\ud800", "a\0", ""]) == 0
    [[hit]] = store.stage_scores(["boat"], [[Hit("\ud800", 1.0, 1)]])
    assert hit.stage_scores == {"text": 0.0}


@pytest.mark.parametrize("given", ["boat", b"boat", {"boat": 1}, [None], 5])
def test_only_a_list_of_ids_is_deleted_or_read(opened: Opened, given):
    store = opened(dimension=0, create=True)
    for call in (store.delete, store.documents):
        with pytest.raises(InvalidInputError):
            call(given)


def test_an_invalid_query_filter_or_k_is_refused(opened: Opened):
    store = opened(dimension=0, create=True)
    text = store.retriever("text")
    with pytest.raises(InvalidInputError):
        text.retrieve("boat", 3)
    with pytest.raises(InvalidInputError, match="surrogate"):
        text.retrieve(["\ud800"], 3)
    with pytest.raises(InvalidInputError, match="k="):
        text.retrieve(["boat"], 0)
    with pytest.raises(InvalidFilterError, match=r"\$near"):
        text.retrieve(["boat"], 3, filter={"lang": {"$near": 1}})
    with pytest.raises(InvalidInputError, match="no first stage 'dense'"):
        store.retriever("dense")


def test_a_filter_that_the_engine_cannot_express_is_refused(opened: Opened):
    store = opened(dimension=0, create=True)
    store.add([BOAT])
    with pytest.raises(InvalidInputError, match="Matches"):
        ids(store, "text", "boat", filter={"lang": {"$glob": "e*"}})


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"nope": 1}, "no option 'nope': use one of encoder, hybrid, timeout"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": "soon"}, "timeout='soon'"),
        ({"retries": -1}, "retries=-1"),
        ({"hybrid": "mean"}, "hybrid='mean'"),
        ({"create": "yes"}, "create='yes'"),
        ({"dimension": -1}, "dimension=-1"),
        ({"dimension": 8, "encoder": "auto"}, "exclude each other"),
    ],
)
def test_invalid_arguments_of_opening_are_refused(opened: Opened, arguments, reason: str):
    opened(dimension=8, create=True)
    with pytest.raises(InvalidInputError, match=reason):
        opened(**arguments)


def test_an_option_is_in_the_url_or_an_argument(opened: Opened):
    opened(dimension=0, create=True)
    assert opened("docs?timeout=5&hybrid=rrf").first_stages == ("text",)
    with pytest.raises(InvalidInputError, match="'timeout' is in the URL of the store and among"):
        opened("docs?timeout=5", timeout=6)


def test_a_missing_store_is_only_made_when_asked(opened: Opened):
    with pytest.raises(StoreNotFoundError, match=r"listed:///docs does not exist.*create=True"):
        opened()
    opened(dimension=0, create=True).add([BOAT])
    assert len(opened(dimension=0, create=True)) == 1
