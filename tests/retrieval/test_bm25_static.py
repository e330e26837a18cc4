import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from rerank_search.errors import (
    IndexCorruptedError,
    IndexMismatchError,
    IndexReadOnlyError,
    InvalidInputError,
)
from rerank_search.retrieval.analysis import terms
from rerank_search.retrieval.base import Passage
from rerank_search.retrieval.bm25_static import VARIANTS, Bm25StaticIndex

TEXTS = ["red fish", "blue fish swims", "a green tree", "fish fish fish", "stone bridge"]
WORDS = ["red", "green", "blue", "fish", "bird", "tree"]
texts_of_words = st.lists(st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join), max_size=20)


def opened(directory: Path, texts: list[str], **options: object) -> Bm25StaticIndex:
    def corpus() -> list[Passage]:
        return [Passage(id, text) for id, text in enumerate(texts, start=1)]

    return Bm25StaticIndex(directory, corpus, **options)  # type: ignore[arg-type]


def built(directory: Path, texts: list[str], **options: object) -> Bm25StaticIndex:
    index = opened(directory, texts, **options)
    index.update(1, [], [])
    return index


def scored(index: Bm25StaticIndex, query: str, k: int = 10) -> dict[int, float]:
    [found] = index.search([query], k)
    return dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))


def test_scores_are_lucene_bm25_by_hand(tmp_path: Path) -> None:
    index = built(tmp_path, TEXTS, k1=0.9, b=0.4)
    idf = math.log(1 + (5 - 3 + 0.5) / (3 + 0.5))
    mean = (2 + 3 + 3 + 3 + 2) / 5
    expected = {
        id: idf * count / (count + 0.9 * (1 - 0.4 + 0.4 * length / mean))
        for id, count, length in ((1, 1, 2), (2, 1, 3), (4, 3, 3))
    }
    assert scored(index, "fish") == pytest.approx(expected)


def test_robertson_ranks_like_rank_bm25(tmp_path: Path) -> None:
    texts = [*TEXTS, "bird", "river", "tower", "red tree", "blue bird"]
    index = built(tmp_path, texts, variant="robertson", k1=1.5)
    oracle = BM25Okapi([terms("english", text) for text in texts], k1=1.5, b=0.75)
    expected = oracle.get_scores(terms("english", "red fish bird"))
    found = scored(index, "red fish bird")
    # rank-bm25 multiplies by k1 + 1; bm25s takes a logarithm of 1 + the odds.
    order = sorted(found, key=lambda id: (-found[id], id))
    assert order == sorted(found, key=lambda id: (-expected[id - 1], id))
    assert set(found) == {id for id, score in enumerate(expected, start=1) if score > 0}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_finds_what_has_the_words_and_nothing_else(
    tmp_path: Path, variant: str
) -> None:
    index = built(tmp_path, [*TEXTS, "bird", "river", "tower"], variant=variant)
    assert set(scored(index, "red fish")) == {1, 2, 4}


def test_a_repeated_query_word_counts_twice(tmp_path: Path) -> None:
    index = built(tmp_path, TEXTS)
    assert scored(index, "tree tree")[3] == pytest.approx(2 * scored(index, "tree")[3])


@settings(max_examples=20, deadline=None)
@given(texts_of_words, st.sampled_from(WORDS), st.integers(1, 25), st.sets(st.integers(1, 20)))
def test_filtered_search_is_the_unfiltered_one_without_the_others(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    query: str,
    k: int,
    allowed: set[int],
) -> None:
    index = built(tmp_path_factory.mktemp("bm25"), texts)
    everything = scored(index, f"{query} fish", 1000)
    [found] = index.search([f"{query} fish"], k, allowed=np.array(sorted(allowed), np.int64))
    rest = sorted((score for id, score in everything.items() if id in allowed), reverse=True)
    cut_off = rest[:k][-1] if rest else 0.0
    exact = {id for id, score in everything.items() if id in allowed and score >= cut_off}
    assert set(found.ids.tolist()) == exact


@pytest.mark.parametrize("texts", [[], [""], ["", "?!"]])
def test_passages_without_words_are_found_by_nothing(tmp_path: Path, texts: list[str]) -> None:
    for index in (built(tmp_path, texts), opened(tmp_path, texts)):
        assert scored(index, "fish") == {}
        assert (index.count, index.seq) == (len(texts), 1)


@pytest.mark.parametrize("query", ["", "?!", "unknown"])
def test_a_query_that_matches_nothing_finds_nothing(tmp_path: Path, query: str) -> None:
    assert scored(built(tmp_path, TEXTS), query) == {}


def test_an_update_takes_the_corpus_as_it_is(tmp_path: Path) -> None:
    texts = list(TEXTS)
    index = built(tmp_path, texts)
    texts.append("golden fish")
    index.update(2, [], [])
    assert 6 in scored(index, "fish")
    assert index.problems(np.arange(1, 7)) == []
    assert len(list(tmp_path.glob("version-*"))) == 1


def test_reopening_finds_the_same_without_pickle(tmp_path: Path) -> None:
    index = built(tmp_path, TEXTS, variant="bm25+")
    reopened = opened(tmp_path, [], variant="bm25+", read_only=True)
    assert scored(reopened, "red fish") == scored(index, "red fish")
    for file in tmp_path.rglob("*.npy"):
        np.load(file, allow_pickle=False)


def test_a_reader_sees_what_was_published_after_refresh(tmp_path: Path) -> None:
    texts = list(TEXTS)
    index = built(tmp_path, texts)
    reader = opened(tmp_path, [], read_only=True)
    assert reader.refresh() is False
    texts.append("golden fish")
    index.update(2, [], [])
    index.update(2, [], [])
    assert 6 not in scored(reader, "fish")
    assert reader.refresh() is True
    assert 6 in scored(reader, "fish")
    with pytest.raises(IndexReadOnlyError):
        reader.update(3, [], [])


def test_other_parameters_than_it_was_built_with_are_an_error(tmp_path: Path) -> None:
    built(tmp_path, TEXTS, k1=0.9)
    with pytest.raises(IndexMismatchError, match=r"0\.9.*build it again"):
        opened(tmp_path, TEXTS, k1=1.2)


@pytest.mark.parametrize(
    ("options", "value"), [({"variant": "bm26"}, "bm26"), ({"b": 1.5}, "1.5"), ({"k1": -1}, "-1")]
)
def test_unknown_parameters_are_an_error(
    tmp_path: Path, options: dict[str, object], value: str
) -> None:
    with pytest.raises(InvalidInputError, match=value):
        opened(tmp_path, TEXTS, **options)


@pytest.mark.parametrize(
    "name", ["ids.npy", "data.csc.index.npy", "vocab.index.json", "params.index.json"]
)
@pytest.mark.parametrize("damage", ["truncated", "empty", "missing"])
def test_a_damaged_file_is_an_error_that_names_the_mend(
    tmp_path: Path, name: str, damage: str
) -> None:
    built(tmp_path, TEXTS)
    [path] = tmp_path.rglob(name)
    if damage == "missing":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size // 2 if damage == "truncated" else 0)
    with pytest.raises(IndexCorruptedError, match="index rebuild"):
        opened(tmp_path, TEXTS)
