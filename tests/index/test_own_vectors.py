"""Indexes of the user's own vectors: adding, searching, errors, and what a crash leaves."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from rerank_search import (
    CrossEncoderReranker,
    Document,
    EncodedDocument,
    EncodedQuery,
    Index,
    IndexMismatchError,
    IndexReadOnlyError,
    InvalidDocumentError,
    InvalidInputError,
    Searcher,
)
from rerank_search.reranking.fusion import Fusion, Weights
from rerank_search.storage.manifest import Manifest
from rerank_search.storage.passages import Passages
from tests import warm
from tests.waiting import until

NAMES = ("red bird", "blue sea", "old tower", "")
VECTORS = np.array([[2, 0, 0], [0, 1, 0], [0.6, 0.8, 0], [0, 0, 3]], np.float32)
ASKED = [0.8, 0.6, 0.0]
COSINES = {"0": 0.8, "1": 0.6, "2": 0.96, "3": 0.0}


def documents() -> list[Document]:
    return [Document(str(i), text, metadata={"even": not i % 2}) for i, text in enumerate(NAMES)]


@pytest.fixture
def index(tmp_path: Path):
    with Index.create(tmp_path / "index", encoder=None, dimension=3) as made:
        made.add(documents(), vectors=VECTORS)
        yield made


def found(index: Index, query: str = "", stage: str = "dense", **options) -> dict[str, float]:
    [hits] = index.retriever(stage).retrieve([EncodedQuery(query, ASKED)], 9, **options)
    return {hit.id: hit.score for hit in hits}


def test_documents_are_found_by_their_vectors(index: Index) -> None:
    assert found(index) == pytest.approx(COSINES, abs=1e-6)
    assert list(found(index)) == ["2", "0", "1", "3"]
    assert index.first_stages == ("bm25", "dense", "hybrid")
    assert (index.dimension, index.info().dimension, index.info().encoder) == (3, 3, None)
    assert index.verify() == []


def test_hybrid_combines_scores_and_can_be_set_to_ranks(index: Index) -> None:
    scores = found(index, "bird tower", "hybrid")
    assert index.info().hybrid == "scores"
    assert scores["2"] == max(scores.values()) > 1
    with Index.open(index.path, read_only=True, hybrid="rrf") as reader:
        ranks = found(reader, "bird tower", "hybrid")
        assert reader.info().hybrid == "scores"
    assert ranks == pytest.approx(
        {"0": 1 / 61 + 1 / 62, "2": 1 / 61 + 1 / 62, "1": 1 / 63, "3": 1 / 64}, abs=1e-3
    )
    index.set_hybrid("rrf")
    assert found(index, "bird tower", "hybrid") == ranks
    with Index.open(index.path) as again:
        assert found(again, "bird tower", "hybrid") == ranks
        retriever = again.retriever("hybrid", fusion="scores")
        [hits] = retriever.retrieve([EncodedQuery("bird tower", ASKED)], 9)
        assert {hit.id: hit.score for hit in hits} == scores
    assert Manifest.read(index.path).published.documents == 4


def test_an_unknown_fusion_of_hybrid_is_named(index: Index, tmp_path: Path) -> None:
    for call in (
        lambda: index.set_hybrid("ranks"),
        lambda: index.retriever("hybrid", fusion="ranks"),
        lambda: Index.open(index.path, hybrid="ranks", read_only=True),
        lambda: Index.create(tmp_path / "new", encoder=None, dimension=3, hybrid="ranks"),
    ):
        with pytest.raises(InvalidInputError, match="ranks"):
            call()
    with (
        Index.open(index.path, read_only=True) as reader,
        pytest.raises(IndexReadOnlyError, match="read_only"),
    ):
        reader.set_hybrid("rrf")
    assert index.info().hybrid == "scores"


@pytest.mark.parametrize(
    "given",
    [VECTORS, VECTORS.astype(np.float64), VECTORS.tolist(), [tuple(row) for row in VECTORS],
     iter(VECTORS), (row.tolist() for row in VECTORS)],
    ids=["float32", "float64", "lists", "tuples", "iterator", "generator"],
)  # fmt: skip
def test_vectors_are_arrays_or_lists_or_come_one_by_one(given, tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", encoder=None, dimension=3) as index:
        assert index.add(iter(documents()), vectors=given) == 4
        assert found(index) == pytest.approx(COSINES, abs=1e-6)


def test_a_document_may_bring_its_vector(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", encoder=None, dimension=2) as index:
        index.add([EncodedDocument("a", "red", vector=[3, 4])])
        [[hit]] = index.retriever("dense").retrieve([EncodedQuery("red", (3, 4))], 1)
        assert hit.score == pytest.approx(1.0)
        assert index.get("a") == Document("a", "red")


def test_filters_hybrid_and_stage_scores_have_them_too(index: Index) -> None:
    even = found(index, filter={"even": True})
    assert even == pytest.approx({"0": 0.8, "2": 0.96}, abs=1e-6)
    assert set(found(index, "sea", "hybrid")) == set(COSINES)
    query = [EncodedQuery("blue sea", ASKED)]
    [[hit]] = index.stage_scores(query, index.retriever("bm25").retrieve(query, 5))
    assert hit.stage_scores["dense"] == pytest.approx(0.6)
    [[[passage]]] = index.passages(query, [[hit]])
    assert passage.stage_scores["dense"] == pytest.approx(0.6)


def test_a_search_takes_the_vector_of_its_query(index: Index, tiny_reranker: Path) -> None:
    fusion = Fusion([Weights(0.0, {"bm25": 0.1, "dense": 2.0, "rerank": 0.01})])
    searcher = Searcher(index, CrossEncoderReranker(tiny_reranker, device="cpu"), fusion=fusion)
    response = searcher.search("old tower", query_vector=np.array(ASKED))
    assert response.reranked
    assert response.hits[0].id == "2"
    assert response.hits[0].stage_scores["dense"] == pytest.approx(0.96)
    queries = [EncodedQuery("sea", ASKED), EncodedQuery("bird", [0, 0, 1])]
    first, second = searcher.search_batch(queries, top_k=1, first_stage="dense", rerank=False)
    assert (first.hits[0].id, second.hits[0].id) == ("2", "3")


def test_a_query_with_a_vector_needs_no_text_and_is_then_not_reranked(
    index: Index, tiny_reranker: Path
) -> None:
    searcher = Searcher(index, CrossEncoderReranker(tiny_reranker, device="cpu"), fusion=None)
    response = searcher.search(" ", query_vector=ASKED)
    assert [hit.id for hit in response.hits] == ["2", "0", "1", "3"]
    assert not response.reranked
    assert "no text" in response.degraded
    assert not searcher.search(" ").hits


def test_an_array_without_masked_values_can_be_given(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", encoder=None, dimension=3) as index:
        index.add(documents(), vectors=np.ma.masked_array(VECTORS))
        assert found(index) == pytest.approx(COSINES, abs=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_every_type_of_vectors_can_be_given(tmp_path: Path, dtype) -> None:
    with Index.create(tmp_path / "i", encoder=None, dimension=3, vector_dtype=dtype) as index:
        index.add(documents(), vectors=VECTORS)
        assert found(index) == pytest.approx(COSINES, abs=0.02)
        assert index.verify() == []


# Updates


def test_a_new_vector_replaces_the_old_one_and_an_unchanged_document_is_not_written(
    index: Index,
) -> None:
    assert index.add(documents(), vectors=VECTORS) == 0
    turned = VECTORS.copy()
    turned[3] = ASKED
    assert index.add(documents(), vectors=turned) == 1
    assert found(index)["3"] == pytest.approx(1.0)
    assert index.verify() == []


def test_new_metadata_keeps_the_vector(index: Index) -> None:
    changed = [Document("0", NAMES[0], metadata={"even": "maybe"})]
    assert index.add(changed, vectors=VECTORS[:1]) == 1
    assert found(index) == pytest.approx(COSINES, abs=1e-6)
    assert index.find({"even": "maybe"}, warn=False)[0].id == "0"


def test_deleting_rebuilding_and_compacting_keep_the_others(index: Index) -> None:
    assert index.delete(["2"]) == 1
    left = {id: score for id, score in COSINES.items() if id != "2"}
    assert found(index) == pytest.approx(left, abs=1e-6)
    index.compact()
    index.rebuild()
    assert found(index) == pytest.approx(left, abs=1e-6)
    assert index.verify() == []
    with Index.open(index.path, read_only=True) as again:
        assert found(again) == pytest.approx(left, abs=1e-6)


@pytest.mark.parametrize("change", ["delete", "compact", "rebuild", "replace"])
def test_vectors_of_8_bits_rank_as_by_brute_force_after_any_change(
    tmp_path: Path, change: str
) -> None:
    drawn = np.random.default_rng(4)
    vectors = drawn.normal(size=(300, 24)).astype(np.float32)
    texts = [Document(str(i), "text") for i in range(len(vectors))]
    with Index.create(tmp_path / "index", encoder=None, dimension=24, vector_dtype="int8") as index:
        for start in (0, 100, 200):
            index.add(texts[start : start + 100], vectors=vectors[start : start + 100])
        index.delete(map(str, range(0, 300, 3)))
        if change == "replace":
            vectors[1::3] = drawn.normal(size=(100, 24))
            index.add(texts[1::3], vectors=vectors[1::3])
        elif change != "delete":
            getattr(index, change)()
        left = [i for i in range(300) if i % 3]
        unit = vectors[left] / np.linalg.norm(vectors[left], axis=1, keepdims=True)
        for asked in drawn.normal(size=(5, 24)):
            expected = unit @ (asked / np.linalg.norm(asked))
            [hits] = index.retriever("dense").retrieve([EncodedQuery("", asked)], 300)
            assert sorted(int(hit.id) for hit in hits) == left
            scores = {int(hit.id): hit.score for hit in hits}
            np.testing.assert_allclose([scores[i] for i in left], expected, atol=0.02)
        assert index.verify() == []


def test_a_rebuild_of_a_lost_engine_has_every_vector(index: Index) -> None:
    for file in (index.path / "dense").iterdir():
        file.unlink()
    with Index.open(index.path, for_repair=True) as damaged:
        damaged.rebuild()
        assert found(damaged) == pytest.approx(COSINES, abs=1e-6)


def test_a_document_whose_vector_is_gone_is_named(index: Index) -> None:
    with sqlite3.connect(index.path / "documents.sqlite") as database:
        database.execute("DELETE FROM vectors WHERE document = 2")
    [problem] = index.verify()
    assert "1 documents have no vector of 3 numbers (first id '1')" in problem


WRITER = """
import sys
from rerank_search import Document, Index

with Index.open(sys.argv[1]) as index:
    for start in range(0, 10**9, 40):
        numbers = range(start, start + 40)
        vectors = [[1.0, number, 1.0] for number in numbers]
        index.add([Document(str(n), f"text {n}") for n in numbers], vectors=vectors)
        print(start + 40, flush=True)
"""


@pytest.mark.process
def test_no_acknowledged_vector_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "index"
    Index.create(path, encoder=None, dimension=3).close()
    for turn in range(2):
        child = warm.start(WRITER, str(path), output=tmp_path / f"said-{turn}")
        until(lambda child=child: child.said().count("\n") > 3)
        child.kill()
        child.wait()
        acknowledged = int(child.said().split("\n")[-2])
        with Index.open(path) as index:
            assert len(index) >= acknowledged
            assert index.verify() == []
            wanted = EncodedQuery("", [1.0, acknowledged - 1.0, 1.0])
            [hits] = index.retriever("dense").retrieve([wanted], 1)
            assert hits[0].score == pytest.approx(1.0, abs=1e-6)


# Errors


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1, 2]], r"document 0 \(id 'd'\) has a vector of 2 numbers.*have 3"),
        ([[1, 2, 3, 4]], "a vector of 4 numbers"),
        ([[1, float("nan"), 3]], "nan at place 1"),
        ([[1, float("inf"), 3]], "inf at place 1"),
        ([np.array([1, np.nan, 3])], "nan at place 1"),
        ([[1, 1e39, 3]], "1e[+]39 at place 1"),
        ([np.zeros(3)], "only zeros"),
        ([[1e-50, 0.0, 1e-60]], "nearly zero"),  # zeros in float32, in which vectors are stored
        ([np.full(3, 1e-42, np.float32)], "nearly zero"),
        ([[0, 0, 0]], "only zeros"),
        ([[]], "no numbers"),
        ([[1, "2", 3]], "'2' at place 1, which is not a number"),
        ([[1, True, 3]], "True at place 1"),
        ([[[1, 2, 3]]], "which is not a number"),
        (["abc"], "give a list of numbers"),
        (np.ma.masked_array([[1.0, 2.0, 3.0]], [[0, 1, 0]]), "a masked value at place 1"),
        ([np.ma.masked_array([1, 2, 3], [0, 0, 1])], "a masked value at place 2"),
        ([None], "the vector is None: give a list of numbers"),
        ([5], "give a list of numbers"),
    ],
)
def test_a_vector_that_cannot_be_used_is_named_and_nothing_is_written(
    index: Index, vectors, message: str
) -> None:
    before = index.info().seq
    with pytest.raises((InvalidDocumentError, InvalidInputError), match=message):
        index.add([Document("d", "a text")], vectors=vectors)
    assert (len(index), index.info().seq) == (4, before)
    assert index.verify() == []


def test_a_wrong_length_among_many_writes_none_of_its_batch(index: Index) -> None:
    rows = [[1.0, 2.0, 3.0]] * 7 + [[1.0, 2.0]] + [[1.0, 2.0, 3.0]] * 4
    more = [Document(f"more{i}", "text") for i in range(12)]
    with pytest.raises(InvalidDocumentError, match=r"document 7 \(id 'more7'\)"):
        index.add(more, vectors=rows)
    assert len(index) == 4


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("streamed", [False, True])
def test_another_number_of_vectors_than_documents_is_refused(
    index: Index, count: int, streamed: bool
) -> None:
    more = [Document(f"more{i}", "text") for i in range(3)]
    vectors = np.ones((count, 3))
    with pytest.raises(InvalidInputError, match=r"vectors"):
        index.add(more, vectors=iter(vectors) if streamed else vectors)
    assert len(index) == 4


def test_missing_vectors_and_vectors_too_many_are_refused(index: Index, tmp_path: Path) -> None:
    with pytest.raises(InvalidDocumentError, match="has no vector, and the index stores one of 3"):
        index.add([Document("d", "text")])
    with Index.create(tmp_path / "words", encoder=None) as words:
        with pytest.raises(InvalidDocumentError, match=r"encoder=None and dimension=3"):
            words.add([Document("d", "text")], vectors=[[1, 2, 3]])
        assert len(words) == 0


def test_an_index_with_an_encoder_takes_no_vectors(tiny_encoder: Path, tmp_path: Path) -> None:
    with Index.create(tmp_path / "encoded", encoder=tiny_encoder) as index:
        with pytest.raises(InvalidDocumentError, match="does not store vectors"):
            index.add([Document("d", "text")], vectors=[[1, 2, 3]])
        index.add([Document("d", "text")])
        with pytest.raises(InvalidInputError, match="with its encoder"):
            index.retriever("dense").retrieve([EncodedQuery("text", [1, 2])], 1)
        with pytest.raises(InvalidInputError, match="query_vector is for an index of your own"):
            Searcher(index, reranker=None).search("text", query_vector=[1, 2])


@pytest.mark.parametrize("stage", ["dense", "hybrid"])
def test_a_query_without_its_vector_is_named(index: Index, stage: str) -> None:
    for query in ("red bird", "???"):
        with pytest.raises(
            InvalidInputError, match=f"the query {query!r} has no vector".replace("?", "[?]")
        ):
            index.retriever(stage).retrieve([query], 2)
    assert index.retriever("bm25").retrieve(["red bird"], 2)[0][0].id == "0"


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([1, 2], "has 2 numbers, and those of the index have 3"),
        ([1, float("nan"), 2], "query_vector has nan at place 1"),
        ([0, 0, 0], "query_vector has only zeros"),
        ("abc", "query_vector is 'abc'"),
        ({"a": 1}, "give a list of numbers"),
        (5, "query_vector is 5"),
    ],
)
def test_a_vector_of_a_query_that_cannot_be_used_is_named(
    index: Index, vector, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Searcher(index, reranker=None).search("red", query_vector=vector)


def test_one_vector_is_not_for_several_queries(index: Index) -> None:
    with pytest.raises(InvalidInputError, match=r"there are 2 queries: give each.*EncodedQuery"):
        Searcher(index, reranker=None).search_batch(["red", "sea"], query_vector=ASKED)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dimension": 3}, "give encoder=None too"),
        ({"encoder": None, "dimension": 0}, "dimension=0 must be at least 1"),
        ({"encoder": None, "dimension": 10**30}, "at most 16384"),
        ({"encoder": None, "dimension": 2.5}, "dimension=2.5"),
        ({"encoder": None, "dimension": 3, "passages": Passages(tokens=64)}, "one for each"),
        ({"encoder": None, "dimension": 3, "query_prompt": "q: "}, "encoder=None and query_prompt"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, settings, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Index.create(tmp_path / "index", **settings)
    assert not (tmp_path / "index").exists()


def test_it_cannot_be_opened_with_an_encoder(index: Index, tiny_encoder: Path) -> None:
    with pytest.raises(IndexMismatchError, match="built without an encoder"):
        Index.open(index.path, encoder=tiny_encoder)


def test_the_manifest_of_other_indexes_stays_as_it_was(tmp_path: Path) -> None:
    Index.create(tmp_path / "words", encoder=None).close()
    assert "dimension" not in json.loads((tmp_path / "words/manifest.json").read_text())
