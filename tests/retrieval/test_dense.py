import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rerank_search.errors import (
    IndexCorruptedError,
    IndexMismatchError,
    IndexReadOnlyError,
    InvalidInputError,
)
from rerank_search.retrieval.base import Passage
from rerank_search.retrieval.dense import VectorIndex
from rerank_search.retrieval.vector_codes import rotated, stored, widened
from rerank_search.types import VectorDtype

DTYPES = ["float32", "float16", "int8"]
TEXTS = ["red fish", "blue fish", "green tree", "stone bridge", "red fish"]
WORDS = ["red", "green", "blue", "fish", "bird", "tree"]
texts_of_words = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join), max_size=25
)


@cache
def _direction(word: str, dimension: int) -> NDArray[np.float64]:
    return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(dimension)


class WordEncoder:
    """An encoder without a model: a vector is the sum of one fixed direction per word."""

    name = "words"

    def __init__(self, dimension: int = 16) -> None:
        self.dimension = dimension
        self.encoded = 0

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded += len(texts)
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> NDArray[np.float32]:
        total = np.zeros(self.dimension)
        for word in sorted(text.split()):
            total += _direction(word, self.dimension)
        return (total / np.linalg.norm(total)).astype(np.float32)


def passages(texts: Sequence[str], first: int = 1) -> list[Passage]:
    return [Passage(id, text) for id, text in enumerate(texts, start=first)]


def numbered(count: int, first: int = 1) -> list[Passage]:
    return [Passage(id, f"number {id}") for id in range(first, first + count)]


def found(index: VectorIndex, query: str, k: int = 10) -> list[int]:
    return index.search([query], k)[0].ids.tolist()


def cosines(query: str, texts: dict[int, str], dtype: VectorDtype) -> dict[int, float]:
    encoder = WordEncoder()
    [vector] = rotated(encoder.encode([query]), dtype)
    rows = {id: stored(encoder.encode([text]), dtype) for id, text in texts.items()}
    return {id: float(widened(row, dtype)[0] @ vector) for id, row in rows.items()}


@pytest.fixture
def index(tmp_path: Path) -> VectorIndex:
    index = VectorIndex(tmp_path / "dense", WordEncoder())
    index.update(3, passages(TEXTS), [])
    return index


def test_scores_are_cosines_and_equal_passages_tie(index: VectorIndex) -> None:
    [scores] = index.search(["red fish"], 1)
    assert sorted(scores.ids.tolist()) == [1, 5]
    assert scores.scores.tolist() == pytest.approx([1.0, 1.0])
    assert (index.count, index.seq) == (5, 3)


def test_k_above_the_corpus_returns_everything(index: VectorIndex) -> None:
    assert sorted(found(index, "fish", k=10**9)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("query", ["", "  ", "?!", "\x00"])
def test_a_query_without_a_letter_or_digit_finds_nothing(index: VectorIndex, query: str) -> None:
    [empty, other] = index.search([query, "fish"], 3)
    assert len(empty.ids) == 0
    assert len(other.ids) >= 3


def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, WordEncoder())
    assert found(index, "fish") == []
    assert len(index.search_vectors(np.ones((1, 16), np.float32), 3)[0].ids) == 0
    assert index.similarities(np.ones((1, 16), np.float32), [np.array([4])])[0].tolist() == [0.0]


def test_k_below_one_is_an_error(index: VectorIndex) -> None:
    with pytest.raises(InvalidInputError, match="k=0 must be at least 1"):
        index.search(["fish"], 0)


@settings(max_examples=25, deadline=None)
@given(
    texts_of_words,
    st.sampled_from(WORDS),
    st.integers(1, 30),
    st.none() | st.sets(st.integers(1, 25)),
    st.sets(st.integers(1, 25)),
    st.sampled_from(DTYPES),
)
def test_search_is_brute_force_over_what_is_allowed_and_not_removed(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    query: str,
    k: int,
    allowed: set[int] | None,
    removed: set[int],
    dtype: VectorDtype,
) -> None:
    index = VectorIndex(tmp_path_factory.mktemp("dense"), WordEncoder(), dtype=dtype)
    half = len(texts) // 2
    index.update(1, passages(texts[:half]), [])
    index.update(2, passages(texts[half:], half + 1), removed)
    kept = {
        id: text
        for id, text in enumerate(texts, start=1)
        if id not in removed and (allowed is None or id in allowed)
    }
    ids = None if allowed is None else np.array(sorted(allowed), np.int64)
    [scores] = index.search([query], k, allowed=ids)
    expected = cosines(query, kept, dtype)
    cut_off = sorted(expected.values(), reverse=True)[:k][-1] if expected else 0.0
    got = dict(zip(scores.ids.tolist(), scores.scores.tolist(), strict=True))
    assert got.keys() >= {id for id, score in expected.items() if score > cut_off - 1e-6}
    assert got == pytest.approx({id: expected[id] for id in got}, abs=1e-5)
    assert min(got.values(), default=cut_off) > cut_off - 1e-5


@settings(max_examples=20, deadline=None)
@given(texts_of_words, st.sampled_from(WORDS), st.integers(1, 5), st.randoms())
def test_what_is_found_does_not_depend_on_the_order_of_insertion(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], query: str, k: int, chance: object
) -> None:
    some = passages(texts)
    shuffled = list(some)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    results = []
    for order in (some, shuffled):
        index = VectorIndex(tmp_path_factory.mktemp("dense"), WordEncoder())
        index.update(1, order, [])
        [scores] = index.search([query], k)
        results.append(dict(zip(scores.ids.tolist(), scores.scores.tolist(), strict=True)))
    assert results[0] == pytest.approx(results[1])


def test_one_query_and_many_give_the_same(tmp_path: Path) -> None:
    # FAISS multiplies matrices for 20 queries and more, and adds up in another order.
    index = VectorIndex(tmp_path, WordEncoder())
    index.update(1, numbered(500), [])
    queries = [f"number {i}" for i in range(40)]
    together = index.search(queries, 7)
    for query, scores in zip(queries, together, strict=True):
        [alone] = index.search([query], 7)
        assert sorted(alone.ids.tolist()) == sorted(scores.ids.tolist())


def test_removed_passages_are_not_found(index: VectorIndex) -> None:
    index.update(4, [], [1, 99])
    assert 1 not in found(index, "red fish")
    assert index.count == 4


def test_applying_the_same_changes_again_encodes_nothing(tmp_path: Path) -> None:
    encoder = WordEncoder()
    index = VectorIndex(tmp_path, encoder)
    for _ in range(2):
        index.update(4, passages(TEXTS), [2])
    assert encoder.encoded == len(TEXTS)
    assert index.count == 4
    assert index.problems(np.array([1, 3, 4, 5])) == []


def test_a_passage_added_and_removed_at_once_is_not_found(index: VectorIndex) -> None:
    index.update(4, [Passage(9, "red fish")], [9])
    assert 9 not in found(index, "red fish")


@pytest.mark.parametrize("dtype", DTYPES)
def test_reopening_finds_the_same(tmp_path: Path, dtype: VectorDtype) -> None:
    index = VectorIndex(tmp_path, WordEncoder(), dtype=dtype)
    for step in range(15):
        index.update(step + 1, numbered(3, 1 + 3 * step), [3 * step])
    reopened = VectorIndex(tmp_path, WordEncoder(), dtype=dtype)
    assert (reopened.seq, reopened.count) == (15, 31)
    assert found(reopened, "number 7") == found(index, "number 7")


def test_many_small_updates_leave_few_files(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, WordEncoder())
    for step in range(60):
        index.update(step + 1, [Passage(step + 1, f"number {step}")], [])
    assert len(list(tmp_path.glob("vectors-*"))) <= 7


def test_an_addition_to_many_vectors_writes_only_itself(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, WordEncoder())
    index.update(1, numbered(2000), [])
    before = set(tmp_path.glob("vectors-*"))
    index.update(2, [Passage(9000, "golden fish")], [])
    assert before < set(tmp_path.glob("vectors-*"))
    assert found(index, "golden fish", 1) == [9000]


def test_compact_drops_removed_rows(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, WordEncoder())
    index.update(1, numbered(100), range(1, 51))
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    index.compact()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 0.7 * size
    assert index.problems(np.arange(51, 101)) == []
    assert VectorIndex(tmp_path, WordEncoder()).problems(np.arange(51, 101)) == []


def test_an_index_whose_rows_are_all_removed_can_be_compacted_and_used(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, WordEncoder())
    index.update(1, numbered(5), range(1, 6))
    index.compact()
    assert found(index, "number 3") == []
    index.update(2, [Passage(6, "golden fish")], [])
    assert found(index, "fish") == [6]


def test_rows_are_dropped_by_themselves_when_most_are_removed(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, WordEncoder())
    index.update(1, numbered(2000), range(1, 1502))
    [ids] = [np.load(file) for file in tmp_path.glob("ids-*.npy")]
    assert len(ids) == index.count == 499


@pytest.mark.parametrize("dtype", DTYPES)
def test_similarities_are_the_scores_of_a_search(tmp_path: Path, dtype: VectorDtype) -> None:
    index = VectorIndex(tmp_path, WordEncoder(), dtype=dtype)
    index.update(1, numbered(50), [])
    index.update(2, numbered(50, 51), [])
    [scores] = index.search(["number 7"], 100)
    [again] = index.scores(["number 7"], [scores.ids])
    assert again.tolist() == pytest.approx(scores.scores.tolist(), abs=4e-6)


def test_similarities_are_cosines_and_zero_for_the_unknown(index: VectorIndex) -> None:
    encoder = WordEncoder()
    index.update(4, [Passage(9, "golden fish")], [])
    vectors = encoder.encode(["red fish", "golden fish"])
    first, second = index.similarities(vectors, [np.array([5, 77, 2]), np.array([9])])
    assert first.dtype == np.float32
    blue = float(encoder.encode(["blue fish"])[0] @ vectors[0])
    assert first.tolist() == pytest.approx([1.0, 0.0, blue], abs=1e-5)
    assert second.tolist() == pytest.approx([1.0])


def graph_index(directory: Path, dtype: VectorDtype = "float32") -> VectorIndex:
    return VectorIndex(directory, WordEncoder(), dtype=dtype, hnsw_above=6000)


@pytest.fixture(scope="module", params=DTYPES)
def graph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of ``large``."""
    return tmp_path_factory.mktemp(request.param)


@pytest.fixture(scope="module")
def large(graph: Path) -> VectorIndex:
    index = graph_index(graph, graph.name.rstrip("0"))
    index.update(1, numbered(7000), [])
    index.update(2, numbered(50, 7001), [10, 7002])
    return index


@pytest.mark.slow
def test_a_large_index_has_a_graph_that_finds_nearly_all(graph: Path, large: VectorIndex) -> None:
    assert list(graph.glob("graph-*.faiss"))
    everything = np.arange(1, 7051)
    overlaps = []
    for query in range(0, 7000, 350):
        exactly = large.search([f"number {query}"], 5, allowed=everything)[0].ids.tolist()
        overlaps.append(len(set(exactly) & set(found(large, f"number {query}", 5))))
    assert sum(overlaps) / len(overlaps) > 4.5


def test_a_large_index_finds_the_new_and_not_the_removed(large: VectorIndex) -> None:
    assert found(large, "number 7020", 1)[0] == 7020
    assert 7002 not in found(large, "number 7002", 5)
    assert 10 not in found(large, "number 10", 5)


def test_filters_stay_exact_with_a_graph(large: VectorIndex) -> None:
    allowed = np.array([10, 17, 7002, 7003], np.int64)
    assert set(large.search(["number 17"], 9, allowed=allowed)[0].ids.tolist()) == {17, 7003}


def test_a_graph_is_used_again_after_reopening(graph: Path, large: VectorIndex) -> None:
    reopened = VectorIndex(graph, WordEncoder(), hnsw_above=6000, read_only=True)
    assert found(reopened, "number 123", 3) == found(large, "number 123", 3)


@pytest.mark.slow
def test_a_graph_grows_with_the_index(tmp_path: Path) -> None:
    index = graph_index(tmp_path)
    index.update(1, numbered(6001), [])
    [first] = tmp_path.glob("graph-*.faiss")
    index.update(2, numbered(2000, 6002), [])
    [second] = tmp_path.glob("graph-*.faiss")
    assert first != second
    assert found(index, "number 8000", 1)[0] == 8000
    assert found(graph_index(tmp_path), "number 8000", 1)[0] == 8000


def test_a_deep_search_of_a_graph_is_complete(large: VectorIndex) -> None:
    assert len(large.search(["number 5"], 7040)[0].ids) >= 7040


def test_a_reader_sees_what_was_published_after_refresh(index: VectorIndex, tmp_path: Path) -> None:
    reader = VectorIndex(tmp_path / "dense", WordEncoder(), read_only=True)
    assert reader.refresh() is False
    for step in range(5):
        index.update(4 + step, [Passage(10 + step, "golden fish")], [1])
        index.compact()
    assert 10 not in found(reader, "golden fish")
    assert reader.refresh() is True
    assert set(found(reader, "golden fish", 1)) == {10, 11, 12, 13, 14}
    assert reader.seq == 8


def test_threads_search_while_passages_are_added(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, WordEncoder())
    index.update(1, numbered(1200), [])
    [vector] = WordEncoder().encode(["number 700"])

    def best(_: int) -> NDArray[np.int64]:
        return index.search_vectors(vector[None], 1)[0].ids

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(best, range(300))
        for step in range(20):
            index.update(2 + step, numbered(40, 2000 + 40 * step), [2000 + 40 * step])
        assert all(ids.tolist() == [700] for ids in answers)


def test_a_reader_cannot_update(index: VectorIndex, tmp_path: Path) -> None:
    reader = VectorIndex(tmp_path / "dense", WordEncoder(), read_only=True)
    for change in (lambda: reader.update(4, [], [1]), reader.compact):
        with pytest.raises(IndexReadOnlyError, match="without read_only"):
            change()


def test_a_failed_update_leaves_the_index_as_it_was(index: VectorIndex, tmp_path: Path) -> None:
    def broken() -> object:
        yield Passage(9, "golden fish")
        raise KeyError("a broken source of passages")

    with pytest.raises(KeyError):
        index.update(4, broken(), [])  # type: ignore[arg-type]
    assert (index.seq, index.count) == (3, 5)
    assert VectorIndex(tmp_path / "dense", WordEncoder()).problems(np.arange(1, 6)) == []


def test_an_encoder_of_another_dimension_is_an_error(index: VectorIndex, tmp_path: Path) -> None:
    other = VectorIndex(tmp_path / "dense", WordEncoder(dimension=8))
    with pytest.raises(IndexMismatchError, match=r"length 16.*'words'.*length 8"):
        other.search(["fish"], 3)
    with pytest.raises(IndexMismatchError, match="build it again"):
        other.update(4, [Passage(9, "fish")], [])


@pytest.mark.parametrize("name", ["state.json", "ids-1.npy", "vectors-1.npy"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "missing", "other bytes"])
def test_a_damaged_file_is_an_error_that_names_it(
    index: VectorIndex, tmp_path: Path, name: str, damage: str
) -> None:
    path = tmp_path / "dense" / name
    if damage in ("truncated", "empty"):
        os.truncate(path, path.stat().st_size // 2 if damage == "truncated" else 0)
    elif damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"\x93NUM" + bytes(range(200)))
    with pytest.raises(IndexCorruptedError, match=rf"{name}.*index rebuild"):
        VectorIndex(tmp_path / "dense", WordEncoder(), read_only=True)


@pytest.mark.parametrize("damage", ["truncated", "empty", "missing", "other bytes"])
def test_a_damaged_graph_is_an_error_that_names_it(tmp_path: Path, damage: str) -> None:
    graph_index(tmp_path).update(1, numbered(6001), [])
    [path] = tmp_path.glob("graph-*")
    if damage in ("truncated", "empty"):
        os.truncate(path, path.stat().st_size // 2 if damage == "truncated" else 0)
    elif damage == "missing":
        path.unlink()
    else:
        path.write_bytes(bytes(range(200)))
    with pytest.raises(IndexCorruptedError, match=rf"{path.name}.*index rebuild"):
        graph_index(tmp_path)


def test_problems_names_missing_left_over_and_broken_vectors(
    index: VectorIndex, tmp_path: Path
) -> None:
    assert index.problems(np.arange(1, 6)) == []
    assert len(index.problems(np.array([1, 2, 3, 4, 8]))) == 2
    path = tmp_path / "dense" / "vectors-1.npy"
    data = bytearray(path.read_bytes())
    data[-40:] = b"\xff" * 40
    path.write_bytes(data)
    broken = VectorIndex(tmp_path / "dense", WordEncoder())
    assert "vectors-1.npy" in broken.problems(np.arange(1, 6))[0]


def test_unknown_dtype_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="int4"):
        VectorIndex(tmp_path, WordEncoder(), dtype="int4")  # type: ignore[arg-type]


def test_long_passages_come_between_short_ones_so_that_the_time_left_is_about_right(
    tmp_path: Path,
) -> None:
    told: list[int] = []
    with_longest_last = [Passage(id, "red " * id) for id in range(1, 601)]
    index = VectorIndex(tmp_path / "dense", WordEncoder())
    index.update(600, with_longest_last, [], progress=told.append)
    done = [number for number in told if number]
    assert 200 < sum(done[: len(done) // 2]) < 400


@pytest.mark.slow
def test_progress_counts_passages_when_they_are_encoded_not_when_they_are_read(
    tmp_path: Path,
) -> None:
    encoder = WordEncoder()
    told: list[tuple[int, int]] = []
    with_longest_last = [Passage(id, "red " * id) for id in range(1, 601)]
    index = VectorIndex(tmp_path / "dense", encoder)
    index.update(
        600,
        with_longest_last,
        [],
        progress=lambda done: told.append((done, encoder.encoded)),
    )
    done = np.cumsum([done for done, _ in told])
    assert done.tolist() == [encoded for _, encoded in told]
    assert len(told) > 10
    index.update(601, with_longest_last, [], progress=lambda done: told.append((done, 0)))
    assert sum(done for done, _ in told) == 1200  # known ones are done at once


def test_what_is_encoded_together_depends_on_each_block_of_changes_alone(tmp_path: Path) -> None:
    class Heard(WordEncoder):
        calls: list[tuple[str, ...]]

        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            self.calls.append(tuple(texts))
            return super().encode(texts)

    rng = np.random.default_rng(0)
    texts = ["red " * int(rng.integers(1, 9_000)) for _ in range(60)]
    blocks = [
        [Passage(id, texts[id], seq=1 + id * 50) for id in range(start, start + 20)]
        for start in (0, 20, 40)
    ]
    together, apart = Heard(), Heard()
    together.calls, apart.calls = [], []
    every = [each for block in blocks for each in block]
    VectorIndex(tmp_path / "together", together).update(3_000, every, [])
    index = VectorIndex(tmp_path / "apart", apart)
    for number, block in enumerate(blocks, start=1):
        index.update(number * 1_000, block, [])
    assert len(together.calls) > 6
    assert together.calls == apart.calls
