from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from rerank_search import CrossEncoderReranker
from tests.serving.conftest import running

QUERY = "read a file"
TEXTS = ["bread and cheese", "open and read a file", "a river", "find a file"]


@pytest.fixture(scope="module")
def expected(reranker: CrossEncoderReranker) -> list[int]:
    logits = reranker.score([(QUERY, text) for text in TEXTS]).tolist()
    return sorted(range(len(TEXTS)), key=lambda i: -logits[i])


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_documents_come_back_by_score(server, expected, path):
    answer = server.post(path, {"model": None, "query": QUERY, "documents": TEXTS})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [each["index"] for each in results] == expected
    assert all(0 <= each["relevance_score"] <= 1 for each in results)
    # A client that finds the key reads its value as a document.
    assert all("document" not in each for each in results)


def test_documents_may_be_objects_and_are_returned_on_request(server, expected):
    documents = [{"text": text, "more": 1} for text in TEXTS]
    asked = {"query": QUERY, "documents": documents, "top_n": 2, "return_documents": True}
    results = server.post("/v1/rerank", asked).json()["results"]
    assert [each["document"]["text"] for each in results] == [TEXTS[i] for i in expected[:2]]


class English:
    """A reranker that is known to be made for English."""

    name = "gte-reranker-modernbert-base"

    def score(self, pairs):
        return np.array([len(text) for _, text in pairs], np.float32)


def test_texts_that_the_reranker_cannot_read_are_warned_about(serve):
    german = ["Die alte Brücke über den Fluss war zwei Jahre gesperrt."] * 2
    with serve(English()) as server:
        for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
            answer = server.post(path, {"query": "Brücke", "documents": german}).json()
            [warning] = answer["meta"]["warnings"]
            assert "another language (de)" in warning
        answer = server.post("/v2/rerank", {"query": QUERY, "documents": TEXTS}).json()
        assert "warnings" not in answer["meta"]


def test_a_top_n_of_zero_is_all(server):
    asked = {"query": QUERY, "documents": TEXTS, "top_n": 0}
    assert len(server.post("/v2/rerank", asked).json()["results"]) == len(TEXTS)


def test_no_documents_have_no_results(server):
    answer = server.post("/v2/rerank", {"query": QUERY, "documents": []})
    assert (answer.status_code, answer.json()["results"]) == (200, [])


def test_equal_documents_keep_their_order(server):
    asked = {"query": QUERY, "documents": ["a river", "a sea", "a river"]}
    places = [each["index"] for each in server.post("/rerank", asked).json()["results"]]
    assert places.index(0) < places.index(2)


def test_what_text_embeddings_inference_takes(server, expected, reranker):
    asked = {"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True}
    results = server.post("/rerank", asked).json()
    assert [(each["index"], each["text"]) for each in results] == [(i, TEXTS[i]) for i in expected]
    logits = reranker.score([(QUERY, text) for text in TEXTS])
    assert [each["score"] for each in results] == pytest.approx(logits[expected], abs=1e-4)
    scaled = server.post("/rerank", {"query": QUERY, "texts": TEXTS}).json()
    assert all(each.keys() == {"index", "score"} and 0 <= each["score"] <= 1 for each in scaled)


def test_a_text_that_may_not_be_cut_is_refused_in_teis_words(server):
    asked = {"query": QUERY, "texts": ["a file", "bread " * 200], "truncate": False}
    answer = server.post("/rerank", asked)
    assert answer.status_code == 413
    assert answer.json()["error_type"] == "validation"
    assert "texts[1]" in answer.json()["error"]
    assert server.post("/rerank", {**asked, "truncate": True}).status_code == 200


def test_tokens_are_counted(server, tiny_reranker):
    usage = server.post("/v1/rerank", {"query": QUERY, "documents": TEXTS}).json()["usage"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_reranker)
    expected = sum(len(tokenizer(QUERY, text)["input_ids"]) for text in TEXTS)
    assert (usage["total_tokens"], usage["prompt_tokens"]) == (expected, expected)


def test_cut_texts_are_counted(server):
    asked = {"query": QUERY, "documents": ["a file", "bread " * 200]}
    assert server.post("/v2/rerank", asked).json()["usage"]["truncated"] == 1
    whole = {**asked, "long_documents": "max_passage"}
    assert server.post("/v2/rerank", whole).json()["usage"]["truncated"] == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"text_1": QUERY, "text_2": TEXTS},
        {"queries": QUERY, "documents": TEXTS},
        {"queries": [QUERY], "items": TEXTS},
        {"data_1": QUERY, "data_2": TEXTS},
        {"text_1": [QUERY] * 4, "text_2": TEXTS},
    ],
)
@pytest.mark.parametrize("path", ["/score", "/v1/score"])
def test_scores_of_pairs_in_their_order(server, reranker, path, asked):
    answer = server.post(path, asked).json()
    scores = reranker.predict([(QUERY, text) for text in TEXTS])
    assert [each["index"] for each in answer["data"]] == [0, 1, 2, 3]
    assert [each["score"] for each in answer["data"]] == pytest.approx(scores, abs=1e-4)
    assert (answer["object"], answer["data"][0]["object"]) == ("list", "score")


@pytest.mark.parametrize(
    ("path", "asked", "message"),
    [
        ("/rerank", {"query": QUERY}, "documents: Field required"),
        ("/rerank", {"query": "  ", "documents": ["a"]}, "blank"),
        ("/rerank", {"query": QUERY, "documents": "a"}, "documents: "),
        ("/v2/rerank", {"query": QUERY, "documents": ["a", 3]}, "documents.1"),
        ("/v2/rerank", {"query": QUERY, "documents": ["a"], "top_n": -1}, "top_n"),
        ("/v2/rerank", [], "a JSON object"),
        ("/v1/rerank", {"query": QUERY, "documents": ["a"], "texts": ["b"]}, "one of documents"),
        ("/score", {"text_1": "alone", "queries": QUERY, "documents": TEXTS}, "or queries and"),
        ("/score", {"text_1": QUERY, "text_2": TEXTS, "queries": [QUERY]}, "or queries and"),
        ("/score", {"text_1": QUERY}, "give text_1 and text_2"),
        ("/score", {"queries": QUERY, "data_2": TEXTS}, "or queries and items, or data_1 and"),
        ("/score", {"queries": QUERY, "documents": TEXTS, "items": TEXTS}, "give text_1 and"),
        ("/score", {"text_1": ["a", "b"], "text_2": ["a", "b", "c"]}, "2 texts"),
        ("/score", {"text_1": ["a", "b"], "text_2": "c"}, "2 texts"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(server, path, asked, message):
    answer = server.post(path, asked)
    assert answer.status_code == 400
    body = answer.json()
    # Cohere's clients read one of them, vLLM's the other.
    assert body["message"] == body["error"]["message"]
    assert message in body["message"]
    assert body["error"]["type"] == "invalid_request"
    assert body["request_id"] == answer.headers["x-request-id"]


def test_a_lenient_server_names_the_fields_that_it_ignores(tmp_path, reranker):
    asked = {"query": QUERY, "documents": TEXTS, "rank_fields": ["a"], "ü\n": 1, "top_n": 2}
    with running(tmp_path, [reranker], lenient=True) as server:
        answer = server.client.post("/v2/rerank", json=asked)
        assert answer.status_code == 200
        assert len(answer.json()["results"]) == 2
        assert answer.headers["X-Ignored-Fields"] == "rank_fields, %C3%BC%0A"
        assert "X-Ignored-Fields" not in server.client.get("/v1/models").headers
        wrong = server.client.post("/v2/rerank", json={**asked, "top_n": -1})
        assert wrong.status_code == 400  # only fields that are not supported are ignored
        own = server.client.post("/v1/search", json={"query": QUERY, "other": 1})
        assert own.status_code == 400


def test_a_wrong_tei_request_is_told_so_in_teis_shape(server):
    answer = server.post("/rerank", {"query": QUERY, "texts": "a"})
    assert answer.status_code == 400
    assert answer.json()["error_type"] == "validation"
    assert "texts" in answer.json()["error"]


def test_texts_beside_documents_are_refused(server):
    asked = {"query": QUERY, "texts": ["a"], "documents": ["b"]}
    answer = server.post("/rerank", asked)
    assert answer.status_code == 400
    assert answer.json()["error"] == "give one of documents and texts"
    assert server.post("/rerank", {**asked, "documents": None}).status_code == 200


@pytest.mark.parametrize(
    ("path", "asked", "field"),
    [
        ("/rerank", {"documents": ["a"], "rank_fields": ["title"]}, "'rank_fields' is not"),
        ("/v1/rerank", {"documents": ["a"], "max_chunks_per_doc": 3}, "'max_chunks_per_doc' is"),
        ("/v2/rerank", {"documents": ["a"], "max_tokens_per_doc": 0}, "max_tokens_per_doc"),
        ("/v2/rerank", {"documents": ["a"], "truncate_prompt_tokens": -2}, "truncate_prompt_tok"),
        ("/v2/rerank", {"documents": ["a"], "truncate_prompt_tokens": 3}, "3 tokens leave no room"),
        ("/rerank", {"texts": ["a"], "truncation_direction": "Left"}, "truncation_direction"),
        ("/rerank", {"texts": ["a"], "top_n": 1}, "'top_n' is not supported"),
        ("/rerank", {"texts": ["a"], "model": "other"}, "no reranker 'other'"),
        ("/score", {"documents": ["a"], "truncate_prompt_tokens": 0}, "0 tokens leave no room"),
    ],
)
def test_a_field_that_would_change_the_answer_is_never_dropped(server, path, asked, field):
    query = "queries" if path == "/score" else "query"
    answer = server.post(path, {query: QUERY, **asked})
    assert answer.status_code in (400, 404)
    assert field in answer.text


LONG = "the bread is in the oven of the kitchen. " * 9 + "join the paths of a file"


def scored(server, path: str, asked: dict[str, object]) -> tuple[list[float], int]:
    """The scores of an answer in the order of the texts, and how many texts were cut."""
    answer = server.post(path, asked).json()
    results = sorted(answer.get("results") or answer["data"], key=lambda each: each["index"])
    name = "relevance_score" if "results" in answer else "score"
    return [each[name] for each in results], answer["usage"]["truncated"]


@pytest.mark.parametrize("long_documents", ["truncate", "max_passage"])
def test_no_more_tokens_of_a_document_are_read_than_asked_for(
    server, tiny_reranker, long_documents
):
    asked = {"query": QUERY, "long_documents": long_documents, "max_tokens_per_doc": 5}
    found, cut = scored(server, "/v2/rerank", {**asked, "documents": [LONG, "a boat"]})
    tokenizer = AutoTokenizer.from_pretrained(tiny_reranker)
    offsets = tokenizer(LONG, add_special_tokens=False, return_offsets_mapping=True)
    beginning = LONG[: offsets["offset_mapping"][4][1]]
    expected, _ = scored(server, "/v2/rerank", {"query": QUERY, "documents": [beginning, "a boat"]})
    assert found == pytest.approx(expected, abs=1e-6)
    assert cut == 1
    whole, _ = scored(server, "/v2/rerank", {"query": QUERY, "documents": [LONG, "a boat"]})
    assert found != pytest.approx(whole, abs=1e-6)


def test_a_bound_above_the_window_counts_where_whole_documents_are_read(server):
    asked = {"query": QUERY, "documents": ["oven " * 300 + QUERY], "long_documents": "max_passage"}
    whole, _ = scored(server, "/v2/rerank", asked)
    bounded, cut = scored(server, "/v2/rerank", {**asked, "max_tokens_per_doc": 200})
    assert whole != pytest.approx(bounded, abs=1e-6)
    assert cut == 1


@pytest.mark.parametrize(
    ("path", "names"), [("/v1/rerank", ("query", "documents")), ("/score", ("text_1", "text_2"))]
)
def test_no_more_tokens_of_a_pair_are_read_than_asked_for(server, tiny_reranker, path, names):
    asked = dict(zip(names, (QUERY, [LONG, "a boat"]), strict=True))
    tokenizer = AutoTokenizer.from_pretrained(tiny_reranker)
    taken = len(tokenizer(QUERY, "a")["input_ids"]) - 1
    found, cut = scored(server, path, {**asked, "truncate_prompt_tokens": taken + 5})
    offsets = tokenizer(LONG, add_special_tokens=False, return_offsets_mapping=True)
    beginning = LONG[: offsets["offset_mapping"][4][1]]
    expected, _ = scored(server, path, {**asked, names[1]: [beginning, "a boat"]})
    assert found == pytest.approx(expected, abs=1e-6)
    assert cut == 1
    whole = scored(server, path, asked)
    assert scored(server, path, {**asked, "truncate_prompt_tokens": -1}) == whole
    assert scored(server, path, {**asked, "truncate_prompt_tokens": 10_000}) == whole


def test_a_reranker_that_cannot_cut_says_so(tmp_path):
    class Plain:
        name = "plain"

        def score(self, pairs):
            return np.zeros(len(pairs), np.float32)

    asked = {"query": QUERY, "documents": TEXTS, "max_tokens_per_doc": 4096}
    with running(tmp_path, [Plain()]) as server:
        answer = server.client.post("/v2/rerank", json=asked)
    assert answer.status_code == 400
    assert "leave max_tokens_per_doc" in answer.text


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/rerank", {"documents": TEXTS, "rank_fields": None, "user": "me"}),
        ("/v2/rerank", {"documents": TEXTS, "max_tokens_per_doc": 4096, "priority": 0}),
        ("/rerank", {"documents": TEXTS, "texts": None}),
        ("/v1/rerank", {"documents": TEXTS, "texts": None}),
        ("/rerank", {"texts": TEXTS, "documents": None, "truncation_direction": "Right"}),
    ],
)
def test_null_and_fields_without_effect_change_nothing(server, expected, path, asked):
    answer = server.post(path, {"query": QUERY, **asked}).json()
    results = answer if isinstance(answer, list) else answer["results"]
    assert [each["index"] for each in results] == expected


def test_an_unknown_model_names_those_that_are_there(server, reranker):
    answer = server.post("/v2/rerank", {"model": "other", "query": "a", "documents": ["b"]})
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "model_not_found"
    # The answer must not show its path.
    name = Path(reranker.name).name
    assert answer.json()["message"].endswith(f"there are: {name}")
    named = {"model": name, "query": "a", "documents": ["b"]}
    assert server.post("/v2/rerank", named).json()["model"] == name


def test_the_models_are_listed(server, reranker):
    [model] = server.client.get("/v1/models").json()["data"]
    assert (model["id"], model["max_length"]) == (Path(reranker.name).name, 64)


# Instructions

TOLD = "Find claims that the text supports"


@pytest.fixture(scope="module")
def instructed(causal_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(causal_reranker, device="cpu")


@pytest.fixture(scope="module")
def told(tmp_path_factory, instructed):
    """A server with a reranker that takes instructions."""
    with running(tmp_path_factory.mktemp("home"), [instructed]) as found:
        yield found


@pytest.mark.parametrize("field", ["instruction", "instruct"])
def test_an_instruction_reaches_the_reranker(told, instructed, field):
    pairs = [(QUERY, text) for text in TEXTS]
    expected = instructed.activated(instructed.score(pairs, instruction=TOLD))
    asked = {"query": QUERY, "documents": TEXTS, field: TOLD}
    results = told.post("/v1/rerank", asked).json()["results"]
    found = {each["index"]: each["relevance_score"] for each in results}
    assert [found[i] for i in range(len(TEXTS))] == pytest.approx(expected, abs=1e-5)
    asked = {"text_1": QUERY, "text_2": TEXTS, field: TOLD}
    scores = [each["score"] for each in told.post("/score", asked).json()["data"]]
    assert scores == pytest.approx(expected, abs=1e-5)
    without = told.post("/v1/rerank", {"query": QUERY, "documents": TEXTS}).json()["results"]
    assert {each["index"]: each["relevance_score"] for each in without} != found


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"instruction": ""}, "instruction='' is blank"),
        ({"instruction": 5}, "instruction"),
        ({"instruction": "one", "instruct": "other"}, "instruction and instruct differ"),
    ],
)
def test_an_instruction_that_is_none_is_refused(told, given, named):
    answer = told.post("/v1/rerank", {"query": QUERY, "documents": TEXTS, **given})
    assert answer.status_code in (400, 422)
    assert named in answer.json()["error"]["message"]


def test_a_reranker_that_takes_no_instruction_is_named(server, reranker):
    asked = {"query": QUERY, "documents": TEXTS, "instruction": TOLD}
    answer = server.post("/v1/rerank", asked)
    assert answer.status_code == 400
    name = Path(reranker.name).name
    assert f"the reranker {name!r} takes no instruction" in answer.json()["error"]["message"]
