"""Stop words: they are left out of queries, unless a query has no other words."""

from __future__ import annotations

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.retrieval.analysis import checked_stop_words
from rerank_search.retrieval.memory import MemoryRetriever
from tests.asked import query_terms


@pytest.mark.parametrize(
    ("analyzer", "query", "left"),
    [
        ("english", "The boats of the harbour", ["boat", "harbour"]),
        ("german", "Wer war der König?", ["konig"]),
        ("german", "FÜR die Häuser", ["haus"]),
        ("russian", "что и где в замке", ["замк"]),
        ("sv", "Vad är över ängen", ["äng"]),
    ],
)
def test_the_list_of_the_language(analyzer: str, query: str, left: list[str]) -> None:
    assert query_terms(analyzer, query, "language")[-len(left) :] == left
    assert len(query_terms(analyzer, query, "language")) < len(query_terms(analyzer, query, None))


def test_a_list_of_the_user_is_compared_without_case_and_accents() -> None:
    assert query_terms("english", "CAFES and the boats", ["Cafés", "don't"]) == [
        "and",
        "the",
        "boat",
    ]
    assert query_terms("multilingual", "naïve Boats", ["NAIVE"]) == ["boats"]


@pytest.mark.parametrize("query", ["to be or not to be", "THE", "the the"])
def test_if_a_query_has_no_other_words_they_count(query: str) -> None:
    assert query_terms("english", query, "language") == query_terms("english", query, None) != []


def test_documents_keep_their_stop_words() -> None:
    texts = ["to be or not to be", "a boat at sea"]
    retriever = MemoryRetriever(texts, stop_words="language")
    assert [hit.id for hit in retriever.retrieve(["to be"], 5)[0]] == ["0"]
    assert [hit.id for hit in retriever.retrieve(["to be a boat"], 5)[0]] == ["1"]


@pytest.mark.parametrize(
    ("analyzer", "given", "message"),
    [
        ("greek", "language", "'greek', only for .*english.*give your own"),
        ("multilingual", "language", "'multilingual'"),
        ("english", "the", "is one string"),
        ("english", ["the", "?!"], r"'\?!', which is not a word"),
        ("english", ["the", ""], "'', which is not a word"),
        ("english", ["the", 3], r"stop_words\[1\]=3 is not a string"),
        ("english", 3, "stop_words=3 is not a list"),
        ("english", {"the"}, "is a set"),
        ("klingon", "language", "no analyzer 'klingon'"),
    ],
)
def test_an_unusable_list_is_refused_by_name(analyzer: str, given: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        checked_stop_words(analyzer, given)  # type: ignore[arg-type]


def test_no_list_and_an_empty_list_leave_nothing_out() -> None:
    assert query_terms("english", "the boat", None) == ["the", "boat"]
    assert query_terms("english", "the boat", []) == ["the", "boat"]
    assert checked_stop_words("english", []) is None
