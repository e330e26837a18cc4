import math
import pickle

import pytest

from rerank_search.errors import InvalidFilterError, InvalidInputError
from rerank_search.retrieval.memory import MemoryRetriever


def test_scores_are_bm25_by_hand() -> None:
    [hits] = MemoryRetriever(["red fish", "blue", "green tree tree tree"]).retrieve(["tree"], 5)
    idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    mean = (2 + 1 + 4) / 3
    expected = idf * 3 * 2.2 / (3 + 1.2 * (1 - 0.75 + 0.75 * 4 / mean))
    [hit] = hits
    assert (hit.id, hit.rank, hit.span, hit.document) == ("2", 1, None, None)
    assert hit.score == pytest.approx(expected)
    assert hit.stage_scores == {"bm25": hit.score}


@pytest.mark.parametrize("analyzer", ["english", "german", "auto"])
def test_it_can_be_pickled(analyzer: str) -> None:
    retriever = MemoryRetriever(["rote Fische", "blau"], analyzer=analyzer, stop_words=["der"])
    copied = pickle.loads(pickle.dumps(retriever))  # noqa: S301
    assert copied.retrieve(["der rote Fisch"], 5) == retriever.retrieve(["der rote Fisch"], 5)


def test_a_word_in_every_text_still_counts() -> None:
    [hits] = MemoryRetriever(["fish fish", "fish"]).retrieve(["fish"], 5)
    assert [hit.id for hit in hits] == ["0", "1"]
    assert all(hit.score > 0 for hit in hits)


def test_equal_texts_are_ordered_by_their_position() -> None:
    [hits] = MemoryRetriever(["red fish", "stone", "red fish"]).retrieve(["fish"], 5)
    assert [(hit.id, hit.rank) for hit in hits] == [("0", 1), ("2", 2)]


@pytest.mark.parametrize("texts", [[], [""], ["", "?!"]])
def test_no_words_at_all_are_found_by_nothing(texts: list[str]) -> None:
    assert MemoryRetriever(texts).retrieve(["fish", ""], 5) == [[], []]


@pytest.mark.parametrize("query", ["", "?!", "unknown"])
def test_a_query_that_matches_nothing_finds_nothing(query: str) -> None:
    assert MemoryRetriever(["red fish"]).retrieve([query], 5) == [[]]


def test_a_list_of_texts_cannot_be_filtered() -> None:
    with pytest.raises(InvalidFilterError, match="no metadata"):
        MemoryRetriever(["red fish"]).retrieve(["fish"], 5, filter={"lang": "en"})


def test_k_below_one_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="k=0 must be at least 1"):
        MemoryRetriever(["red fish"]).retrieve(["fish"], 0)
