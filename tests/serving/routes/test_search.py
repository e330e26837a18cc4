from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rerank_search import Document, Index, Searcher
from tests.serving.broken import Broken


def search(server, **asked):
    answer = server.post("/v1/search", {"query": "join two paths", **asked})
    assert answer.status_code == 200, answer.text
    [result] = answer.json()["results"]
    return result


def test_a_search_finds_what_the_library_finds(server, reranker):
    with Index.open(server.home / "notes", read_only=True) as index:
        expected = Searcher(index, reranker).search("join two paths", top_k=3)
    result = search(server, top_k=3)
    assert [hit["id"] for hit in result["hits"]] == [hit.id for hit in expected.hits]
    for found, hit in zip(result["hits"], expected.hits, strict=True):
        assert found["score"] == pytest.approx(hit.score, abs=1e-4)
        assert found["stage_scores"] == pytest.approx(dict(hit.stage_scores), abs=1e-4)
        assert found["document"]["text"] == hit.document.text
        assert found["document"]["metadata"] == hit.document.metadata
    assert result["reranked"] is True
    assert result["candidates"] == expected.candidates
    assert {"first_stage", "rerank", "total"} <= result["timings"].keys()


def test_many_queries_have_a_result_each(server):
    queries = ["join two paths", "", "bread and cheese"]
    answer = server.post("/v1/search", {"index": "notes", "queries": queries}).json()
    assert [each["query"] for each in answer["results"]] == queries
    assert answer["results"][1]["hits"] == []
    assert answer["results"][2]["hits"][0]["id"] in ("bread", "join", "shell", "split")
    assert answer["index"] == "notes"


def test_to_explain_is_to_say_where_a_hit_stood(server):
    result = search(server, top_k=2, explain=True)
    assert len(result["hits"]) == 2
    first = result["first_stage_hits"]
    assert [hit["rank"] for hit in first] == [1, 2]
    ranks = {hit["id"]: hit["rank"] for hit in first}
    for hit in result["hits"]:
        assert ranks.get(hit["id"], hit["first_stage_rank"]) == hit["first_stage_rank"]
    assert "first_stage_hits" not in search(server)


def test_matches_say_where_the_words_stand_in_what_is_returned(server):
    for hit in search(server, matches=True, query="paths joined")["hits"]:
        found, document = hit["matches"], hit["document"]
        parts = [document[part][slice(*span)] for part in ("title", "text") for span in found[part]]
        assert parts == {"join": ["Paths", "join", "paths"], "split": ["path"]}.get(hit["id"], [])
    assert all("matches" not in hit for hit in search(server)["hits"])
    for without in ({"return_documents": False}, {"text": "none"}):
        hits = search(server, matches=True, **without)["hits"]
        assert all("matches" not in hit for hit in hits)


def test_matches_in_a_long_document_are_those_of_its_best_passage(home, serve):
    text = "🎻 boats and rivers. " * 5_100 + "The violin plays."
    with Index.create(home / "long", encoder=None) as index:
        index.add([Document("a", text)])
    asked = {"index": "long", "query": "violin", "rerank": False, "matches": True}
    with serve(None) as other:
        [whole] = search(other, **asked)["hits"]
        [part] = search(other, **asked, text="passage")["hits"]
    for hit in (whole, part):
        [span] = hit["matches"]["text"]
        assert hit["document"]["text"][slice(*span)] == "violin"


class Calibrated:
    """Prefers long texts, and has a calibration for its logits."""

    name = "calibrated"

    def __init__(self, calibration):
        self.calibration = calibration

    def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        return np.array([len(text) / 100 for _, text in pairs], dtype=np.float32)


def test_ranks_of_the_first_stage_count_hits_that_are_left_out(serve, make_calibration):
    with serve(Calibrated(make_calibration())) as server:
        everything = search(server, explain=True)
        least = everything["hits"][0]["relevance"]
        result = search(server, explain=True, min_relevance=least)
    assert len(result["hits"]) < len(everything["hits"])
    assert result["first_stage_hits"] == everything["first_stage_hits"]
    ranks = {hit["id"]: hit["rank"] for hit in everything["first_stage_hits"]}
    for hit in result["hits"]:
        assert hit["first_stage_rank"] == ranks[hit["id"]]


def test_the_first_stage_alone(server):
    result = search(server, rerank=False, first_stage="bm25", return_documents=False)
    assert (result["reranked"], result["first_stage"]) == (False, "bm25")
    assert result["hits"][0]["id"] == "join"
    assert all("document" not in hit for hit in result["hits"])


def test_null_is_no_option_of_reranking(server):
    nothing = {"model": None, "budget_ms": None, "min_relevance": None}
    assert search(server, rerank=False, **nothing)["reranked"] is False


@pytest.mark.parametrize("option", ["budget_ms", "min_relevance"])
def test_a_server_without_rerankers_refuses_options_of_reranking(serve, option):
    with serve(None) as server:
        assert search(server)["reranked"] is False
        answer = server.post("/v1/search", {"query": "a", option: 0.5})
    assert answer.status_code == 400
    assert f"a server without a reranker and {option}=0.5" in answer.json()["error"]["message"]


def test_a_filter_is_kept_to(server):
    result = search(server, filter={"module": "os", "year": {"$gte": 2021}})
    assert [hit["id"] for hit in result["hits"]] == ["split"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"query": "a", "queries": ["b"]}, "one of query and queries"),
        ({"index": "notes"}, "one of query and queries"),
        ({"query": "a", "topk": 3}, "did you mean 'top_k'?"),
        ({"query": "a", "top_k": 0}, "top_k"),
        ({"query": "a", "first_stage": "dens"}, "first_stage"),
        ({"query": "a", "filter": {"year": {"$near": 3}}}, "$near"),
        ({"query": "a", "budget_ms": 0}, "budget_ms"),
        ({"query": "a", "min_relevance": 0.5}, "calibrat"),
        ({"query": "a", "rerank": False, "model": "b"}, "rerank=false and model='b' exclude"),
        ({"query": "a", "rerank": False, "budget_ms": 5}, "rerank=false and budget_ms=5.0 exclude"),
        ({"query": "a", "rerank": False, "min_relevance": 0.5}, "and min_relevance=0.5 exclude"),
        ({"query": "half a surrogate \ud800"}, ""),
    ],
)
def test_a_wrong_search_is_told_what_is_wrong(server, asked, message):
    import json

    content = json.dumps(asked)
    answer = server.client.post(
        "/v1/search", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request"


@pytest.mark.parametrize(("text", "keys"), [("passage", ["metadata", "text", "title"]),
                                            ("none", ["metadata", "title"])])  # fmt: skip
def test_texts_can_be_shortened_or_left_out(server, text, keys):
    asked = {"query": "join two paths", "top_k": 1, "text": text}
    [hit] = server.post("/v1/search", asked).json()["results"][0]["hits"]
    assert sorted(hit["document"]) == keys


def test_another_word_for_the_text_is_refused(server):
    answer = server.post("/v1/search", {"query": "join two paths", "text": "some"})
    assert answer.status_code == 400
    assert "text" in answer.json()["error"]["message"]


def test_a_key_that_no_document_has_is_answered_with_a_warning(server):
    asked = {"query": "join two paths", "filter": {"modul": "os"}}
    answer = server.post("/v1/search", asked).json()
    assert answer["results"][0]["hits"] == []
    [warning] = answer["warnings"]
    assert "there are 'module'" in warning
    known = server.post("/v1/search", {**asked, "filter": {"module": "os"}}).json()
    assert "warnings" not in known


def test_an_unknown_index_names_those_that_are_there(server):
    answer = server.post("/v1/search", {"index": "other", "query": "a"})
    assert answer.status_code == 404
    assert "notes" in answer.json()["error"]["message"]


def test_a_reranker_that_fails_leaves_the_first_stage(serve):
    with serve(Broken()) as server:
        result = search(server)
        assert result["reranked"] is False
        assert "failed (OSError)" in result["degraded"]
        assert len(result["hits"]) == 4
        assert b"rerank_search_degraded_answers_total 1.0" in server.client.get("/metrics").content
        answer = server.post("/v2/rerank", {"query": "a", "documents": ["b"]})
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "reranker_failed"


def test_a_budget_counts_from_the_arrival(server):
    result = search(server, budget_ms=0.001)
    assert (result["reranked"], len(result["hits"])) == (False, 4)
    assert "no time was left" in result["degraded"]
    assert search(server, budget_ms=60_000)["reranked"] is True


def test_an_index_that_was_rebuilt_is_opened_again(fresh, tiny_encoder):
    import shutil

    from rerank_search import Document

    assert search(fresh)["hits"]
    shutil.rmtree(fresh.home / "notes")
    with Index.create(fresh.home / "notes", encoder=str(tiny_encoder)) as index:
        index.add([Document("new", "join the new paths")])
    assert [hit["id"] for hit in search(fresh)["hits"]] == ["new"]


@pytest.mark.slow
def test_what_another_process_adds_is_found(fresh):
    import subprocess
    import sys

    program = (
        "import sys; from rerank_search import Document, Index\n"
        "with Index.open(sys.argv[1]) as index:\n"
        "    index.add([Document('late', 'join two paths late')])\n"
    )
    assert search(fresh)["hits"]
    subprocess.run([sys.executable, "-c", program, str(fresh.home / "notes")], check=True)
    assert "late" in [hit["id"] for hit in search(fresh)["hits"]]


def test_a_server_without_rerankers_searches_and_says_so_where_one_is_named(serve):
    with serve(None) as server:
        assert search(server)["reranked"] is False
        answer = server.post("/v1/search", {"query": "a", "model": "other"})
        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "model_not_found"
        assert server.post("/v2/rerank", {"query": "a", "documents": ["b"]}).status_code == 404


@pytest.mark.parametrize("field", ["index", "model", "first_stage", "query_", "filter"])
def test_an_error_does_not_give_back_all_that_was_sent(server, field):
    asked = {"query": "join two paths", field: "x" * 100_000}
    answer = server.post("/v1/search", asked)
    assert answer.status_code in (400, 404)
    assert len(answer.content) < 1_000


def test_an_error_of_a_filter_does_not_give_back_all_that_was_sent(server):
    for filter in ({"$x" + "y" * 100_000: 1}, {"a": {"$gt": ["x" * 100_000]}}):
        answer = server.post("/v1/search", {"query": "join two paths", "filter": filter})
        assert answer.status_code == 400
        assert len(answer.content) < 1_500


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"query": "x", "rerank": "no"}', "rerank: Input should be a valid boolean"),
        (b'{"query": "x", "filter": []}', "filter is not a JSON object: send one, such as {}"),
        (b'{"query": "x", "model": "other"}', "no reranker 'other' is served; there are: "),
        (b"[]", "the body is not a JSON object: send one, such as {}"),
        (b"", "the body is empty: send a JSON object"),
    ],
)
def test_an_error_names_the_field_and_what_to_send(server, body, message):
    headers = {"Content-Type": "application/json"}
    answer = server.client.post("/v1/search", content=body, headers=headers)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["message"].startswith(message)


def test_passages_and_duplicates_are_those_of_the_library(fresh, reranker):
    text = "Join two paths with a slash. " * 40 + "The bread is in the oven. " * 40
    documents = [{"id": id, "text": text} for id in ("a", "b")]
    assert fresh.post("/v1/indexes/notes/documents", {"documents": documents}).status_code == 200
    asked = {"passages_per_document": 2, "collapse_duplicates": True}
    result = search(fresh, index="notes", **asked)
    with Index.open(fresh.home / "notes", read_only=True) as index:
        expected = Searcher(index, reranker).search("join two paths", **asked)
    for found, hit in zip(result["hits"], expected.hits, strict=True):
        assert found.get("duplicates", []) == list(hit.duplicates)
        assert [each.get("span") for each in found["passages"]] == [
            None if each.span is None else list(each.span) for each in hit.passages
        ]
        assert [each["text"] for each in found["passages"]] == [each.text for each in hit.passages]
    assert any("duplicates" in found for found in result["hits"])
    short = search(fresh, index="notes", text="none", passages_per_document=2)
    assert all("text" not in each for hit in short["hits"] for each in hit["passages"])
    assert all("passages" not in hit for hit in search(fresh, index="notes")["hits"])


def test_more_further_passages_than_candidates_are_allowed_to_be_are_refused(server):
    asked = {"query": "paths", "top_k": 900, "passages_per_document": 3}
    answer = server.post("/v1/search", asked)
    assert answer.status_code == 413
    assert "further passages of top_k documents: 1,800" in answer.json()["error"]["message"]
