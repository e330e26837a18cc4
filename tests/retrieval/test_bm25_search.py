"""Searches with ties and filters, against BM25 by its formula over all passages."""

import math
import random
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_search.retrieval.analysis import ANALYSIS, QueryTerms
from rerank_search.retrieval.base import Passage, PassageScores
from rerank_search.retrieval.bm25 import Bm25Index
from rerank_search.retrieval.bm25_search import MANY_WORDS, Bm25Search
from rerank_search.retrieval.postings import Postings
from tests.conftest import made_by_benchmarks

Counting = made_by_benchmarks("counting").Counting
"""A searcher that counts its searches."""

WORDS = ["red", "green", "blue", "fish", "bird", "tree"]
QUERIES = ["red", "fish bird", "red green blue", "tree tree fish", "red absent", "absent"]
SEGMENTS = 4
COUNT = 400


def texts() -> list[str]:
    """Texts of few words, so that most scores are equal to many others."""
    chosen = random.Random(3)
    return [" ".join(chosen.choices(WORDS, k=chosen.randint(1, 6))) for _ in range(COUNT)]


TEXTS = texts()
REMOVED = set(range(3, COUNT, 17))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bm25")


@pytest.fixture(scope="module")
def index(directory: Path) -> Bm25Index:
    """Passages 1 to 400 in several segments; some are removed, which the statistics still count."""
    index = Bm25Index(directory, analyzer="plain")
    passages = [Passage(id, text) for id, text in enumerate(TEXTS, start=1)]
    random.Random(4).shuffle(passages)
    size = COUNT // SEGMENTS
    for part in range(SEGMENTS):
        index.update(part + 1, passages[part * size : (part + 1) * size], [])
    index.update(SEGMENTS + 1, [], sorted(REMOVED))
    return index


@cache
def exact(query: str) -> dict[int, float]:
    """The BM25 score of each passage with a word of the query, by the formula."""
    bags = [Counter(text.split()) for text in TEXTS]
    mean = sum(bag.total() for bag in bags) / COUNT
    scores: dict[int, float] = {}
    for word in query.split():
        having = sum(word in bag for bag in bags)
        idf = math.log(1 + (COUNT - having + 0.5) / (having + 0.5))
        for id, bag in enumerate(bags, start=1):
            if word in bag and id not in REMOVED:
                length = 1.2 * (0.25 + 0.75 * bag.total() / mean)
                scores[id] = scores.get(id, 0.0) + idf * 2.2 * bag[word] / (bag[word] + length)
    return scores


def best(query: str, k: int, allowed: set[int] | None) -> dict[int, float]:
    """The best k of the allowed passages, and all that tie with the last."""
    scores = {i: s for i, s in exact(query).items() if allowed is None or i in allowed}
    ranked = sorted(scores.values(), reverse=True)
    least = ranked[min(k, len(ranked)) - 1] - 1e-5 if ranked else 0.0
    return {id: score for id, score in scores.items() if score >= least}


def array(ids: set[int] | None) -> NDArray[np.int64] | None:
    return None if ids is None else np.array(sorted(ids), np.int64)


def by_id(found: PassageScores) -> dict[int, float]:
    return dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))


chance = random.Random(5)
FILTERS: dict[str, set[int] | None] = {
    "all": None,
    "one": {77},
    "removed": set(REMOVED),
    "few": set(chance.sample(range(1, COUNT + 1), 5)),
    "a tenth": set(range(7, COUNT, 10)),
    "a fifth in a row": set(range(101, 181)),
    "half": set(chance.sample(range(1, COUNT + 1), COUNT // 2)),
    "nearly all": set(range(1, COUNT + 1)) - {50, 60, 70},
    "with unknown ids": {5, 6, 7, 10_000, 2**62},
}


@pytest.mark.parametrize("allowed", FILTERS.values(), ids=FILTERS)
def test_the_best_k_and_their_ties_are_those_of_the_formula(
    index: Bm25Index, allowed: set[int] | None
) -> None:
    for k in (1, 2, 3, 5, 10, 30, 100, COUNT - len(REMOVED), COUNT, 5 * COUNT):
        answers = index.search(QUERIES, k, allowed=array(allowed))
        for query, found in zip(QUERIES, answers, strict=True):
            assert by_id(found) == pytest.approx(best(query, k, allowed), rel=1e-5), (query, k)
            assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("allowed", FILTERS.values(), ids=FILTERS)
def test_a_smaller_k_finds_a_prefix_with_the_same_scores(
    index: Bm25Index, allowed: set[int] | None
) -> None:
    everything = [by_id(found) for found in index.search(QUERIES, COUNT, allowed=array(allowed))]
    for k in range(1, COUNT, 13):
        for found, every in zip(
            index.search(QUERIES, k, allowed=array(allowed)), everything, strict=True
        ):
            some = by_id(found)
            assert some.items() <= every.items()
            assert not some or min(some.values()) > max(
                (score for id, score in every.items() if id not in some), default=0.0
            )


@pytest.mark.parametrize("allowed", FILTERS.values(), ids=FILTERS)
def test_a_query_is_searched_more_than_once_only_if_many_tie_or_are_not_allowed(
    index: Bm25Index, directory: Path, allowed: set[int] | None
) -> None:
    postings = Postings(directory, "plain", ANALYSIS)
    for k in (1, 10, 50, 1000):
        for query in QUERIES:
            counting = Counting(postings.searcher())
            search = Bm25Search(counting, postings.schema, k, array(allowed))
            found = search.best(QueryTerms(query.split()))
            few_ties = len(found.ids) <= k * 3 / 2
            assert counting.searches <= (1 if allowed is None and few_ties else 4)


def test_a_word_of_a_long_query_counts_as_often_as_it_appears(index: Bm25Index) -> None:
    short = "fish fish fish red red tree "
    times = MANY_WORDS // 6 + 1
    [once], [often] = index.search([short], 10), index.search([short * times], 10)
    scaled = {id: score * times for id, score in by_id(once).items()}
    assert by_id(often) == pytest.approx(scaled, rel=1e-5)
