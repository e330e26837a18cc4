from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest

from rerank_search import InvalidInputError, rank_texts
from rerank_search.reranking.cross_encoder import CrossEncoderReranker

QUERY = "boat on the river"
TEXTS = ["bread in the oven", "", "a boat on the river", "the river", "snow", "a boat on the river"]


@pytest.fixture(scope="module")
def reranker(tiny_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_reranker, device="cpu")


def test_texts_are_ranked_by_the_reranker_with_their_positions_as_ids(reranker):
    hits = rank_texts(QUERY, TEXTS, reranker=reranker)
    scores = reranker.score([(QUERY, text) for text in TEXTS])

    order = sorted(range(len(TEXTS)), key=lambda i: (-scores[i], i))
    assert [hit.id for hit in hits] == [str(i) for i in order]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5, 6]
    assert all(hit.document.text == TEXTS[int(hit.id)] for hit in hits)
    assert all(hit.score == hit.stage_scores["rerank"] for hit in hits)


def test_an_instruction_reaches_a_reranker_that_takes_one(causal_reranker, reranker):
    model, told = CrossEncoderReranker(causal_reranker, device="cpu"), "Find claims"
    hits = rank_texts(QUERY, TEXTS, reranker=model, instruction=told)
    scores = model.score([(QUERY, TEXTS[int(hit.id)]) for hit in hits], instruction=told)
    assert [hit.score for hit in hits] == pytest.approx(scores, abs=1e-5)
    with pytest.raises(InvalidInputError, match="takes no instruction"):
        rank_texts(QUERY, TEXTS, reranker=reranker, instruction=told)


def test_equal_texts_are_in_the_order_of_the_list(reranker):
    hits = rank_texts("boat", ["a boat"] * 12, top_k=12, reranker=reranker)
    assert [hit.id for hit in hits] == [str(position) for position in range(12)]


def test_of_equal_texts_the_first_become_candidates(reranker):
    hits = rank_texts("boat", ["a boat"] * 12, top_k=3, candidates=3, reranker=reranker)
    assert [hit.id for hit in hits] == ["0", "1", "2"]


def test_texts_may_come_from_a_generator_or_an_array(reranker):
    expected = rank_texts(QUERY, TEXTS, reranker=reranker)
    assert rank_texts(QUERY, (text for text in TEXTS), reranker=reranker) == expected
    assert rank_texts(QUERY, np.array(TEXTS), reranker=reranker) == expected


def test_numbers_may_be_numpys(reranker):
    hits = rank_texts(QUERY, TEXTS, top_k=np.int64(2), candidates=np.int32(3), reranker=reranker)
    assert len(hits) == 2


def test_a_folder_may_be_given_as_a_path(tiny_reranker, reranker):
    [hit] = rank_texts(QUERY, TEXTS, top_k=1, reranker=Path(tiny_reranker))
    assert hit.id == rank_texts(QUERY, TEXTS, top_k=1, reranker=reranker)[0].id


def test_a_model_may_be_named(tiny_reranker, reranker):
    named = rank_texts(QUERY, TEXTS, reranker=str(tiny_reranker))
    assert [hit.id for hit in named] == [
        hit.id for hit in rank_texts(QUERY, TEXTS, reranker=reranker)
    ]


def test_bm25_picks_the_candidates_of_a_long_list(reranker):
    texts = ["snow in winter"] * 300 + ["the boat", "a river and a boat"]
    hits = rank_texts(QUERY, texts, top_k=2, candidates=2, reranker=reranker)

    assert {hit.id for hit in hits} == {"300", "301"}
    assert all(hit.stage_scores["bm25"] > 0 for hit in hits)


def test_bm25_picks_candidates_in_the_language_of_the_texts(reranker):
    texts = ["雪", "河边的老城里有很多房子", "面包"]
    [hit] = rank_texts("房子", texts, top_k=1, candidates=1, reranker=reranker, analyzer="auto")
    assert hit.id == "1"
    with pytest.raises(InvalidInputError, match="no analyzer 'klingon'"):
        rank_texts("x", texts, reranker=reranker, analyzer="klingon")


def test_texts_without_a_word_of_the_query_fill_up_the_candidates(reranker):
    texts = ["snow in winter"] * 300 + ["boat"]
    hits = rank_texts("boat", texts, top_k=3, candidates=3, reranker=reranker)

    assert sorted(hit.id for hit in hits) == ["0", "1", "300"]


def test_long_texts_are_read_in_windows_on_request(reranker):
    long = "bread and cheese from the oven " * 40
    [cut] = rank_texts(QUERY, [long], reranker=reranker)
    [read] = rank_texts(QUERY, [long], reranker=reranker, long_documents="max_passage")

    assert cut.span is None
    start, end = read.span
    assert 0 <= start < end <= len(long)
    assert read.score >= cut.score - 1e-5


def test_nothing_to_rank_gives_no_hits(reranker):
    assert rank_texts(QUERY, [], reranker=reranker) == []
    assert rank_texts("  ", TEXTS, reranker=reranker) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"query": "bad \udc00", "texts": ["a"]}, "the query"),
        ({"query": "a", "texts": ["b", "bad \udc00"]}, "text 1"),
        ({"query": "a", "texts": ["b", None]}, "text 1"),
        ({"query": "a", "texts": "one text"}, "one string"),
        ({"query": "a", "texts": ["b"], "top_k": 0}, "top_k=0"),
        ({"query": "a", "texts": ["b"], "candidates": 0}, "candidates=0"),
        ({"query": "a", "texts": ["b"], "top_k": None}, "top_k=None"),
        ({"query": "a", "texts": ["b"], "top_k": 3.0}, "top_k=3.0"),
        ({"query": "a", "texts": ["b"], "candidates": True}, "candidates=True"),
        ({"query": "a", "texts": b"bytes"}, "one string"),
        ({"query": "a", "texts": {"b": 1}}, "texts is a dict"),
        ({"query": "a", "texts": {"b"}}, "texts is a set"),
        ({"query": "a", "texts": pandas.DataFrame({"text": ["b"]})}, "DataFrame"),
        ({"query": "a", "texts": 5}, "texts=5 is not a list"),
    ],
)
def test_bad_input_is_refused_by_name(reranker, arguments, named):
    with pytest.raises(InvalidInputError, match=named):
        rank_texts(**arguments, reranker=reranker)
