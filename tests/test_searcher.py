from __future__ import annotations

import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rerank_search import (
    Document,
    Fusion,
    Hit,
    Index,
    InvalidInputError,
    RerankError,
    Searcher,
    SearchOptions,
)
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.fusion import Weights
from rerank_search.reranking.hit_text import passage
from rerank_search.reranking.loaded_later import LoadedLater

DOCUMENTS = [
    Document("join", "join the paths of files with a path", "os path join", {"kind": "path"}),
    Document("split", "split the path into a folder and a file", "os path split", {"kind": "path"}),
    Document("read", "read the lines of a text file", "read lines", {"kind": "file"}),
    Document("write", "write the lines to a file and close the file", "", {"kind": "file"}),
    Document("bread", "the bread is in the oven of the kitchen", "bread", {"kind": "food"}),
    Document("boat", "a boat on the river to the sea", "", {"kind": "water"}),
    Document("twin-b", "a violin and a song", "music"),
    Document("twin-a", "a violin and a song", "music"),
    Document("empty", "", "snow storm"),
]
QUERY = "how to join the paths of a file"
FUSION = Fusion([Weights(0.0, {"rerank": 0.1, "dense:z": 1.0, "bm25:z": 1.0})])


class Lengths:
    """A reranker that prefers short texts, and records its pairs."""

    name = "lengths"

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    def score(self, pairs):
        self.pairs += pairs
        return np.array([-len(text) for _, text in pairs], dtype=np.float32)


class Failing:
    name = "failing"

    def score(self, pairs):
        raise ConnectionError("the service is down")


@pytest.fixture(scope="module")
def index(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("searcher") / "index"
    with Index.create(path, encoder=str(tiny_encoder)) as index:
        index.add(DOCUMENTS)
        yield index


@pytest.fixture(scope="module")
def words_only(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("searcher") / "words"
    with Index.create(path, encoder=None) as index:
        index.add(DOCUMENTS)
        yield index


@pytest.fixture(scope="module")
def reranker(tiny_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_reranker, device="cpu")


def _ids(response):
    return [hit.id for hit in response.hits]


def _assert_total_order(response):
    assert [hit.rank for hit in response.hits] == list(range(1, len(response.hits) + 1))
    order = sorted(response.hits, key=lambda hit: (-hit.score, hit.id))
    assert _ids(response) == [hit.id for hit in order]


@pytest.mark.parametrize("first_stage", ["bm25", "dense", "hybrid"])
def test_candidates_of_the_first_stage_are_ordered_by_the_rerankers_logit(
    index, reranker, first_stage
):
    response = Searcher(index, reranker).search(QUERY, first_stage=first_stage)
    by_id = {document.id: document for document in DOCUMENTS}

    assert response.reranked
    assert response.degraded is None
    assert response.first_stage == first_stage
    assert response.reranked_count == response.candidates == len(response.hits) > 3
    _assert_total_order(response)
    for hit in response.hits:
        assert hit.document == by_id[hit.id]
        assert hit.score == hit.stage_scores["rerank"]
        assert first_stage in hit.stage_scores
    expected = reranker.score([(QUERY, passage(hit)) for hit in response.hits])
    np.testing.assert_allclose([hit.score for hit in response.hits], expected, atol=1e-5)


def test_the_reranker_reads_title_and_text(index):
    reranker = Lengths()
    Searcher(index, reranker).search(QUERY)

    assert (QUERY, "os path join\njoin the paths of files with a path") in reranker.pairs
    assert (QUERY, "write the lines to a file and close the file") in reranker.pairs


def test_without_a_reranker_the_first_stages_ranking_is_returned(index, reranker):
    [expected] = index.retriever("hybrid").retrieve([QUERY], 4)
    for response in (
        Searcher(index, None).search(QUERY, top_k=4),
        Searcher(index, reranker).search(QUERY, top_k=4, rerank=False),
    ):
        assert [(hit.id, hit.score) for hit in response.hits] == [
            (hit.id, hit.score) for hit in expected
        ]
        assert response.hits[0].document is not None
        assert not response.reranked
        assert response.degraded is None
        assert response.reranked_count == 0


def test_candidates_are_at_least_top_k(index, reranker):
    response = Searcher(index, reranker).search(QUERY, top_k=5, candidates=2)
    assert response.candidates == response.reranked_count == len(response.hits) == 5


def test_top_k_is_cut_after_reranking(index, reranker):
    searcher = Searcher(index, reranker)
    assert _ids(searcher.search(QUERY, top_k=2)) == _ids(searcher.search(QUERY))[:2]


def test_top_k_above_the_corpus_gives_what_there_is(index, reranker):
    response = Searcher(index, reranker).search(QUERY, top_k=1000, first_stage="dense")
    assert sorted(_ids(response)) == sorted(document.id for document in DOCUMENTS)


def test_equal_documents_are_ordered_by_id(index, reranker):
    response = Searcher(index, reranker).search("violin song", first_stage="bm25")
    assert _ids(response) == ["twin-a", "twin-b"]
    assert response.hits[0].score == response.hits[1].score


def test_a_filter_holds_for_both_stages(index, reranker):
    response = Searcher(index, reranker).search(QUERY, filter={"kind": "file"})
    assert sorted(_ids(response)) == ["read", "write"]


def test_a_batch_gives_what_single_searches_give(index, reranker):
    searcher = Searcher(index, reranker, fusion=FUSION)
    queries = [QUERY, "", "bread oven", "boat", *["file"] * 40]
    batch = searcher.search_batch(queries, top_k=3)

    assert [response.query for response in batch] == queries
    for query, response in zip(queries[:5], batch[:5], strict=True):
        alone = searcher.search(query, top_k=3)
        assert _ids(response) == _ids(alone)
        np.testing.assert_allclose(
            [hit.score for hit in response.hits], [hit.score for hit in alone.hits], atol=1e-4
        )
    assert searcher.search_batch([]) == []


@pytest.mark.parametrize("query", ["", " \n\t"])
def test_a_blank_query_finds_nothing(index, reranker, query):
    response = Searcher(index, reranker).search(query)
    assert (response.query, list(response.hits), response.candidates) == (query, [], 0)
    assert not response.reranked
    assert response.degraded is None


def test_an_empty_index_and_an_impossible_filter_find_nothing(
    index, reranker, tiny_encoder, tmp_path
):
    with Index.create(tmp_path / "index", encoder=str(tiny_encoder)) as empty:
        for response in (
            Searcher(empty, reranker, fusion=FUSION).search(QUERY),
            Searcher(index, reranker, fusion=FUSION).search(QUERY, filter={"kind": "none"}),
            Searcher(index, reranker).search("xyzzy", first_stage="bm25"),
        ):
            assert list(response.hits) == []
            assert not response.reranked
            assert response.degraded is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"query": "bad \ud800"}, "surrogate"),
        ({"query": None}, "None"),
        ({"query": "a", "top_k": 0}, "top_k=0"),
        ({"query": "a", "candidates": -1}, "candidates=-1"),
        ({"query": "a", "budget_ms": 0}, "budget_ms=0"),
        ({"query": "a", "first_stage": "bm26"}, "bm26"),
        ({"query": "a", "filter": []}, "mapping"),
        ({"query": "a", "top_k": None}, "top_k=None is not a whole number"),
        ({"query": "a", "top_k": 3.0}, "top_k=3.0 is not a whole number"),
        ({"query": "a", "top_k": True}, "top_k=True"),
        ({"query": "a", "candidates": "9"}, "candidates='9'"),
        ({"query": "a", "candidates": float("nan")}, "candidates=nan"),
        ({"query": "a", "budget_ms": "9"}, "budget_ms='9' is not a number"),
        ({"query": "a", "budget_ms": float("inf")}, "budget_ms=inf is not finite"),
        ({"query": "a", "min_relevance": "high"}, "min_relevance='high'"),
        ({"query": "a", "min_relevance": float("nan")}, "min_relevance=nan"),
        ({"query": "a", "first_stage": 5}, "5"),
        ({"query": "x" * 10_000 + "\ud800"}, "surrogate at character 10000"),
    ],
)
def test_bad_arguments_are_refused_by_name(index, reranker, arguments, named):
    with pytest.raises(InvalidInputError, match=named):
        Searcher(index, reranker).search(**arguments)


@pytest.mark.parametrize("option", ["budget_ms", "min_relevance"])
def test_options_of_reranking_are_refused_where_nothing_is_reranked(index, reranker, option):
    with pytest.raises(InvalidInputError, match=f"rerank=False and {option}=0.5 exclude"):
        Searcher(index, reranker).search(QUERY, rerank=False, **{option: 0.5})
    with pytest.raises(InvalidInputError, match=f"reranker=None and {option}=0.5 exclude"):
        Searcher(index, None).search(QUERY, **{option: 0.5})


def test_an_instruction_reaches_the_reranker(words_only, causal_reranker, tmp_path):
    told = "Find claims that the text supports"
    model = CrossEncoderReranker(causal_reranker, device="cpu")
    for reranker in (model, LoadedLater(str(causal_reranker))):
        searcher = Searcher(words_only, reranker)
        hits = searcher.search(QUERY, instruction=told).hits
        pairs = [(QUERY, passage(hit)) for hit in hits]
        assert [hit.stage_scores["rerank"] for hit in hits] == pytest.approx(
            model.score(pairs, instruction=told), abs=1e-5
        )
        assert hits[0].score != searcher.search(QUERY).hits[0].score
        in_time = searcher.search(QUERY, instruction=told, budget_ms=60_000).hits
        assert [hit.score for hit in in_time] == pytest.approx([hit.score for hit in hits])


def test_an_instruction_for_a_reranker_that_takes_none_is_refused(words_only, reranker):
    named = f"{re.escape(repr(reranker.name))} takes no instruction"
    for query in (QUERY, "nothing-of-the-kind"):  # also where nothing is found
        with pytest.raises(InvalidInputError, match=named):
            Searcher(words_only, reranker, on_rerank_error="first_stage").search(
                query, instruction="Find claims"
            )
    with pytest.raises(InvalidInputError, match="reranker=None and instruction='x' exclude"):
        Searcher(words_only, None).search(QUERY, instruction="x")


def test_one_string_is_no_batch(index, reranker):
    with pytest.raises(InvalidInputError, match="one string"):
        Searcher(index, reranker).search_batch(QUERY)


def test_queries_may_come_from_a_generator_or_an_array(index, reranker):
    searcher = Searcher(index, reranker)
    expected = [_ids(response) for response in searcher.search_batch([QUERY, "bread"])]
    for queries in (iter([QUERY, "bread"]), np.array([QUERY, "bread"])):
        assert [_ids(response) for response in searcher.search_batch(queries)] == expected


def test_numbers_may_be_numpys(index, reranker):
    response = Searcher(index, reranker).search(
        QUERY, top_k=np.int64(2), candidates=np.int32(3), budget_ms=np.float32(1e6)
    )
    assert len(response.hits) == 2


@pytest.mark.parametrize(
    ("index", "named"),
    [
        ("indexes/notes", r"is a path: open it first, Index.open\('indexes/notes'\)"),
        (Path("indexes/notes"), "is a path"),
        (object(), "cannot be searched"),
        (None, "index=None cannot be searched"),
        (Index, "cannot be searched"),
        (SimpleNamespace(first_stages=(), retriever=0, documents=0, stage_scores=0), "cannot be"),
    ],
)
def test_what_is_no_index_cannot_be_searched(index, named):
    with pytest.raises(InvalidInputError, match=named):
        Searcher(index, None)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"reranker": object()}, r"has no method score\(pairs\)"),
        ({"reranker": CrossEncoderReranker}, "is a class: give an object of it"),
        ({"reranker": 5}, "reranker=5"),
        ({"fusion": object()}, "fusion=<object"),
        ({"fusion": Fusion}, "fusion=<class"),
        ({"calibration": {}}, "calibration={}"),
    ],
)
def test_parts_of_another_type_are_refused_by_name(index, arguments, named):
    with pytest.raises(InvalidInputError, match=named):
        Searcher(index, **arguments)


def test_the_folder_of_a_reranker_may_be_a_path(index, tiny_reranker, reranker):
    assert _ids(Searcher(index, Path(tiny_reranker)).search(QUERY)) == _ids(
        Searcher(index, reranker).search(QUERY)
    )


def test_a_key_that_no_document_has_is_a_warning_of_the_response(index, reranker):
    searcher = Searcher(index, reranker)
    response = searcher.search(QUERY, filter={"knid": "none"})
    assert not response.hits
    assert ["'knid'" in warning for warning in response.warnings] == [True]
    assert searcher.search("  ", filter={"knid": "none"}).warnings == response.warnings
    assert searcher.search(QUERY, filter={"kind": "none"}).warnings == ()
    assert searcher.search(QUERY).warnings == ()


def test_an_unknown_failure_policy_is_refused(index, reranker):
    with pytest.raises(InvalidInputError, match="first_stage"):
        Searcher(index, reranker, on_rerank_error="ignore")


def test_an_unknown_fusion_is_refused(index, reranker):
    with pytest.raises(InvalidInputError, match="fusion='none'"):
        Searcher(index, reranker, fusion="none")


def test_a_failing_reranker_raises_by_default(index):
    with pytest.raises(RerankError, match="the service is down") as caught:
        Searcher(index, Failing()).search(QUERY)
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_a_failing_reranker_leaves_the_first_stages_ranking_by_policy(index):
    response = Searcher(index, Failing(), on_rerank_error="first_stage").search(QUERY, top_k=3)

    assert _ids(response) == _ids(Searcher(index, None).search(QUERY, top_k=3))
    assert not response.reranked
    assert response.degraded.startswith("RerankError: ")
    assert "the service is down" in response.degraded
    assert "rerank" in response.timings


def test_the_failure_policy_covers_the_reranker_alone(index):
    searcher = Searcher(index, Failing(), on_rerank_error="first_stage")
    with pytest.raises(InvalidInputError):
        searcher.search(QUERY, filter={"kind": {"$unknown": 1}})


def test_fusion_scores_by_the_weights_and_shows_every_stage(index, reranker):
    response = Searcher(index, reranker, fusion=FUSION).search(QUERY)
    signals = {
        name: [hit.stage_scores[name] for hit in response.hits]
        for name in ("rerank", "dense", "bm25")
    }

    np.testing.assert_allclose([hit.score for hit in response.hits], FUSION.score(signals))
    assert all(hit.stage_scores["fused"] == hit.score for hit in response.hits)
    _assert_total_order(response)


@pytest.mark.parametrize("first_stage", ["bm25", "dense"])
def test_fusion_completes_the_scores_of_the_other_stage(index, reranker, first_stage):
    response = Searcher(index, reranker, fusion=FUSION).search(QUERY, first_stage=first_stage)
    [plain] = index.retriever("dense").retrieve([QUERY], 100)
    cosines = {hit.id: hit.score for hit in plain}

    for hit in response.hits:
        assert hit.stage_scores["dense"] == pytest.approx(cosines[hit.id], abs=1e-5)
        assert hit.stage_scores["bm25"] >= 0


def test_an_index_without_vectors_uses_the_weights_for_bm25(words_only, reranker):
    fusion = Fusion([*FUSION.models, Weights(1.0, {"rerank": 1.0, "bm25:z": 0.5})])
    response = Searcher(words_only, reranker, fusion=fusion).search(QUERY)

    assert response.first_stage == "bm25"
    assert all({"bm25", "rerank", "fused"} == set(hit.stage_scores) for hit in response.hits)


def test_a_fusion_without_weights_for_the_index_is_refused(words_only, reranker):
    with pytest.raises(InvalidInputError, match="no weights"):
        Searcher(words_only, reranker, fusion=FUSION)


def test_auto_takes_the_rerankers_own_fusion(index, reranker, tiny_reranker, tmp_path):
    shutil.copytree(tiny_reranker, tmp_path / "model")
    FUSION.save(tmp_path / "model")
    own = CrossEncoderReranker(tmp_path / "model", device="cpu")

    def stages(searcher):
        return set(searcher.search(QUERY).hits[0].stage_scores)

    assert "fused" in stages(Searcher(index, own))
    assert "fused" not in stages(Searcher(index, own, fusion=None))
    assert "fused" not in stages(Searcher(index, reranker))


class Metered(Lengths):
    """A reranker that takes longer for its first chunk than the test's budget."""

    def score(self, pairs):
        time.sleep(0.2 * len(pairs))
        return super().score(pairs)


def test_a_budget_reranks_the_first_candidates_and_keeps_the_others_below(index):
    reranker = Metered()
    whole = Searcher(index, None).search(QUERY, top_k=9)
    response = Searcher(index, reranker).search(QUERY, budget_ms=600)
    done = response.reranked_count

    assert response.reranked
    assert 0 < done < response.candidates == len(DOCUMENTS)
    assert {hit.id for hit in response.hits[:done]} == set(_ids(whole)[:done])
    assert _ids(response)[done:] == _ids(whole)[done:]
    assert all("rerank" in hit.stage_scores for hit in response.hits[:done])
    assert not any("rerank" in hit.stage_scores for hit in response.hits[done:])
    _assert_total_order(response)


def test_a_budget_that_the_first_stage_uses_up_is_said_to_be(index, reranker):
    response = Searcher(index, reranker).search(QUERY, budget_ms=1e-6)

    assert not response.reranked
    assert "1e-06 ms" in response.degraded
    assert _ids(response) == _ids(Searcher(index, None).search(QUERY))


def test_times_are_told_per_stage(index, reranker):
    response = Searcher(index, reranker, fusion=FUSION).search(QUERY, first_stage="bm25")
    parts = {name: time for name, time in response.timings.items() if name != "total"}

    assert set(parts) == {"first_stage", "documents", "stage_scores", "rerank"}
    assert all(time >= 0 for time in parts.values())
    assert sum(parts.values()) <= response.timings["total"]


def test_a_fact_at_the_end_of_a_long_document_survives_both_stages(
    tiny_encoder, reranker, tmp_path
):
    filler = "The bread is in the oven of the old kitchen in winter. " * 60
    text = filler + "The violin of the queen is in the tower."
    with Index.create(tmp_path / "index", encoder=str(tiny_encoder)) as long:
        long.add([*DOCUMENTS, Document("long", text)])
        asked = Lengths()
        for first_stage in ("bm25", "hybrid"):
            response = Searcher(long, asked).search(
                "violin of the queen in the tower", first_stage=first_stage
            )
            [hit] = [hit for hit in response.hits if hit.id == "long"]
            start, end = hit.span
            assert "violin of the queen" in text[start:end]
            assert ("violin of the queen in the tower", text[start:end]) in asked.pairs
            assert hit.document.text == text
        assert Searcher(long, reranker).search("violin queen tower").truncated <= 10


def test_truncated_candidates_are_counted(reranker, tiny_encoder, tmp_path):
    documents = [Document("long", "boat river " * 80), Document("short", "boat river")]
    with Index.create(tmp_path / "index", encoder=str(tiny_encoder), passages=None) as whole:
        whole.add(documents)
        assert Searcher(whole, reranker).search("boat").truncated == 1


def test_threads_share_one_searcher(index, reranker):
    searcher = Searcher(index, reranker, fusion=FUSION)
    queries = [QUERY, "bread oven", "boat river", "read lines"]
    expected = [_ids(searcher.search(query)) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda query: _ids(searcher.search(query)), queries * 10))
    assert found == expected * 10


def test_searching_changes_no_input(index, reranker):
    filter, queries = {"kind": {"$in": ["file", "path"]}}, [QUERY]
    Searcher(index, reranker).search_batch(queries, filter=filter)
    assert filter == {"kind": {"$in": ["file", "path"]}}
    assert queries == [QUERY]


def test_a_long_title_leaves_room_for_the_passage() -> None:
    document = Document("a", "One sentence. Another sentence.", title="long " * 200)
    text = passage(Hit("a", 1.0, 1, document=document, span=(14, 31)))
    assert text == ("long " * 60) + "\nAnother sentence."


def test_options_may_be_ready_made_and_arguments_replace_them(index, reranker):
    searcher = Searcher(index, reranker)
    options = SearchOptions(top_k=2, candidates=3, first_stage="bm25")
    expected = searcher.search(QUERY, top_k=2, candidates=3, first_stage="bm25")
    assert _ids(searcher.search(QUERY, options)) == _ids(expected)
    [deeper] = searcher.search_batch([QUERY], options, top_k=3)
    assert deeper.first_stage == "bm25"
    assert len(deeper.hits) == 3


def test_an_unknown_option_is_a_type_error(index, reranker):
    with pytest.raises(TypeError, match="did you mean 'top_k'"):
        Searcher(index, reranker).search(QUERY, topk=3)
