"""The sparse engine against dot products by hand, and the encoder against its makers' code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SparseEncoder as SavedModel
from sentence_transformers.base.modules import Router
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

from rerank_search import IndexCorruptedError, InvalidInputError, ModelNotFoundError, SparseEncoder
from rerank_search.errors import IndexReadOnlyError
from rerank_search.models.prompts import Prompts
from rerank_search.retrieval.base import Passage
from rerank_search.retrieval.encoder import Encoder
from rerank_search.retrieval.sparse import SparseIndex
from rerank_search.retrieval.sparse_vectors import SparseVectors, joined

DIMENSION = 12
TEXTS = [
    "the red bird",
    "a boat on the sea, which is blue and old, in a storm of the winter",
    "",
    "tower " * 100,
    "snow and rain",
    "the red bird",
]
QUERIES = ["which bird is red", "storm", "the boat of the king and the queen in a long winter"]


class Spelled:
    """Vectors that are written in the texts: "3:0.5 7:2" has weight 0.5 at 3 and 2 at 7."""

    name = "spelled"
    dimension = DIMENSION

    def encode(self, texts: Sequence[str], *, task=None, prompt=None) -> SparseVectors:
        vectors = []
        for text in texts:
            pairs = sorted((int(a), float(b)) for a, b in (e.split(":") for e in text.split()))
            tokens = np.array([token for token, _ in pairs], np.int32)
            vectors.append((tokens, np.array([weight for _, weight in pairs], np.float32)))
        return joined(vectors)


def opened(folder: Path, **options) -> SparseIndex:
    return SparseIndex(folder, Spelled(), prompts=Prompts(), **options)


def passages(texts: dict[int, str]) -> list[Passage]:
    return [Passage(id, text) for id, text in texts.items()]


def dense(text: str) -> np.ndarray:
    vector = np.zeros(DIMENSION, np.float32)
    tokens, weights = Spelled().encode([text])[0]
    vector[tokens] = weights
    return vector


def by_hand(texts: dict[int, str], query: str) -> dict[int, float]:
    """The score of each passage that shares a token with the query."""
    wanted = dense(query)
    return {
        id: float(dense(text) @ wanted)
        for id, text in texts.items()
        if ((dense(text) != 0) & (wanted != 0)).any()
    }


def found(index: SparseIndex, query: str, k: int = 100, **options) -> dict[int, float]:
    [best] = index.search([query], k, **options)
    return dict(zip(best.ids.tolist(), best.scores.tolist(), strict=True))


vectors = st.dictionaries(st.integers(0, DIMENSION - 1), st.sampled_from([0.25, 0.5, 1.0, 2.0]))
spelled = vectors.map(lambda each: " ".join(f"{token}:{each[token]}" for token in each))


@settings(max_examples=12)
@given(
    st.lists(st.lists(spelled, min_size=1, max_size=6), max_size=5),
    st.sets(st.integers(0, 30)),
    spelled,
    st.integers(1, 8),
    st.booleans(),
)
def test_all_of_the_best_passages_are_found_after_any_changes(
    tmp_path_factory: pytest.TempPathFactory,
    additions: list[list[str]],
    removed: set[int],
    query: str,
    k: int,
    compacted: bool,
) -> None:
    folder = tmp_path_factory.mktemp("sparse")
    index, texts = opened(folder), dict[int, str]()
    for some in additions:
        new = {len(texts) + place: text for place, text in enumerate(some)}
        texts |= new
        index.update(len(texts), passages(new), [])
    index.update(100, [], removed)
    if compacted:
        assert index.compact()
    left = {id: text for id, text in texts.items() if id not in removed}
    expected = by_hand(left, query)
    least = sorted(expected.values(), reverse=True)[: min(k, len(expected))]
    for each in (index, opened(folder, read_only=True)):
        assert each.seq == 100
        assert each.count == len(left)
        assert found(each, query) == pytest.approx(expected)
        best = found(each, query, k)
        assert best == {id: score for id, score in expected.items() if score >= least[-1]}
        allowed = np.array(sorted(left)[::2], np.int64)
        assert found(each, query, allowed=allowed) == pytest.approx(
            {id: score for id, score in expected.items() if id in allowed}
        )
        assert each.problems(np.array(sorted(left), np.int64)) == []


def test_a_query_without_active_tokens_finds_nothing(tmp_path: Path) -> None:
    index = opened(tmp_path)
    assert found(index, "3:1") == {}  # the index is empty
    index.update(1, passages({1: "3:1"}), [])
    assert found(index, "") == {}
    assert found(index, "4:1") == {}
    assert found(index, "3:1", allowed=np.array([], np.int64)) == {}


def test_scores_of_given_passages(tmp_path: Path) -> None:
    index = opened(tmp_path)
    index.update(1, passages({1: "3:1 4:2", 2: "4:1", 3: "5:1"}), [])
    [scores] = index.scores(["4:2"], [np.array([3, 1, 9, 2])])
    assert scores.tolist() == [0.0, 4.0, 0.0, 2.0]


def test_passages_that_were_added_before_a_crash_are_not_added_twice(tmp_path: Path) -> None:
    opened(tmp_path).update(1, passages({1: "3:1"}), [])
    index = opened(tmp_path)
    told: list[int] = []
    index.update(2, passages({1: "3:1", 2: "3:2"}), [1], progress=told.append)
    assert found(index, "3:1") == {2: 2.0}
    assert sum(told) == 2


def test_files_of_an_update_that_was_not_published_are_left_out(tmp_path: Path) -> None:
    index = opened(tmp_path)
    index.update(1, passages({1: "3:1"}), [])
    state = (tmp_path / "state.json").read_bytes()
    kept = {file.name: file.read_bytes() for file in tmp_path.glob("*.npy")}
    index.update(2, passages({2: "3:1"}), [1])
    (tmp_path / "state.json").write_bytes(state)  # as if the process were killed before it
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)
    again = opened(tmp_path)
    assert found(again, "3:1") == {1: 1.0}
    again.update(2, passages({2: "3:1"}), [1])
    assert found(again, "3:1") == {2: 1.0}


def test_a_reader_sees_what_is_published_later(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    reader = opened(tmp_path, read_only=True)
    assert not reader.refresh()
    writer.update(1, passages({1: "3:1"}), [])
    assert reader.refresh()
    assert found(reader, "3:1") == {1: 1.0}
    with pytest.raises(IndexReadOnlyError):
        reader.update(2, [], [])
    with pytest.raises(IndexReadOnlyError):
        reader.compact()


def test_problems_name_what_is_missing(tmp_path: Path) -> None:
    index = opened(tmp_path)
    index.update(1, passages({1: "3:1", 2: "4:1"}), [])
    assert index.problems(np.array([1, 2])) == []
    problems = index.problems(np.array([2, 3]))
    assert [problem.split(":")[0] for problem in problems] == [
        "sparse lacks 1 passages (first id 3)",
        "sparse still has 1 passages (first id 1)",
    ]


@pytest.mark.parametrize("array", ["ids", "tokens", "starts", "rows", "weights"])
@pytest.mark.parametrize("damage", ["short", "other", "missing"])
def test_a_damaged_file_is_named(tmp_path: Path, array: str, damage: str) -> None:
    opened(tmp_path).update(1, passages({1: "3:1", 2: "4:1"}), [])
    [file] = tmp_path.glob(f"{array}-*.npy")
    if damage == "short":
        file.write_bytes(file.read_bytes()[:-3])
    elif damage == "other":
        np.save(file, np.zeros(9, np.float16))
    else:
        file.unlink()
    with pytest.raises(IndexCorruptedError, match=file.name):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("array", "value"), [("tokens", DIMENSION), ("rows", 7), ("weights", np.nan)]
)
def test_verification_reads_every_number(tmp_path: Path, array: str, value: float) -> None:
    opened(tmp_path).update(1, passages({1: "3:1", 2: "4:1"}), [])
    [file] = tmp_path.glob(f"{array}-*.npy")
    content = np.load(file)
    content[-1] = value
    np.save(file, content)
    [problem] = opened(tmp_path).problems(np.array([1, 2]))
    assert file.name in problem


def test_a_posting_of_a_passage_that_is_not_there_is_an_error_in_a_search(tmp_path: Path) -> None:
    opened(tmp_path).update(1, passages({1: "3:1", 2: "4:1"}), [])
    [file] = tmp_path.glob("rows-*.npy")
    np.save(file, np.array([0, 9], np.int32))
    index = opened(tmp_path)
    with pytest.raises(IndexCorruptedError, match="not there"):
        index.search(["4:1"], 5)


def test_vectors_and_scores_are_those_of_sentence_transformers(
    sparse_encoder: Path, tmp_path: Path
) -> None:
    model, encoder = SavedModel(str(sparse_encoder), device="cpu"), SparseEncoder(sparse_encoder)
    documents = model.encode_document(TEXTS, convert_to_sparse_tensor=False)
    queries = model.encode_query(QUERIES, convert_to_sparse_tensor=False)
    expected = model.similarity(queries, documents).numpy()
    together = encoder.encode(TEXTS, task="document", prompt=encoder.prompts.document)
    whole = documents.numpy()
    for place, text in enumerate(TEXTS):
        for tokens, weights in (together[place], encoder.encode([text], task="document")[0]):
            np.testing.assert_allclose(weights, whole[place][tokens], atol=1e-5)
            assert np.count_nonzero(whole[place]) == len(tokens)
    index = SparseIndex(tmp_path, encoder, prompts=encoder.prompts)
    index.update(1, passages(dict(enumerate(TEXTS))), [])
    for place, query in enumerate(QUERIES):
        scores = found(index, query)
        assert [scores[id] for id in range(len(TEXTS))] == pytest.approx(
            expected[place].tolist(), rel=1e-5, abs=1e-5
        )
        assert scores[0] == scores[5]
    assert encoder.window == 64
    for each in (encoder, SparseEncoder(sparse_encoder)):  # after the first text, and before
        assert each.dimension == whole.shape[1]


@pytest.fixture(scope="module")
def inference_free(sparse_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that weighs the tokens of queries by a table, with prompts; "the" weighs nothing."""
    saved = SavedModel(str(sparse_encoder), device="cpu")
    tokenizer = saved.tokenizer
    table = np.linspace(0.5, 2, len(tokenizer)).astype(np.float32)
    table[tokenizer.convert_tokens_to_ids("the")] = 0
    import torch

    queries = SparseStaticEmbedding(tokenizer, torch.from_numpy(table), frozen=True)
    router = Router.for_query_document(query_modules=[queries], document_modules=list(saved))
    model = SavedModel(modules=[router], device="cpu", prompts={"document": "passage: "})
    folder = tmp_path_factory.mktemp("free") / "free"
    model.save(str(folder), create_model_card=False)
    return folder


def test_an_inference_free_model_uses_its_table_for_queries(
    inference_free: Path, tmp_path: Path
) -> None:
    model, encoder = SavedModel(str(inference_free), device="cpu"), SparseEncoder(inference_free)
    queries = model.encode_query(QUERIES, convert_to_sparse_tensor=False)
    documents = model.encode_document(TEXTS, convert_to_sparse_tensor=False)
    expected = model.similarity(queries, documents)
    index = SparseIndex(tmp_path, encoder, prompts=encoder.prompts)
    index.update(1, passages(dict(enumerate(TEXTS))), [])
    for query, scores in zip(QUERIES, expected.tolist(), strict=True):
        own = found(index, query)
        assert [own.get(id, 0.0) for id in range(len(TEXTS))] == pytest.approx(
            scores, rel=1e-5, abs=1e-5
        )
    assert encoder.prompts == Prompts(document="passage: ")
    assert found(index, "the the") == {}


def test_a_model_that_is_compared_by_cosine_has_vectors_of_length_1(
    sparse_encoder: Path, tmp_path: Path
) -> None:
    def folder(similarity: str) -> Path:
        copy = shutil.copytree(sparse_encoder, tmp_path / similarity)
        file = copy / "config_sentence_transformers.json"
        saved = json.loads(file.read_text()) | {"similarity_fn_name": similarity}
        file.write_text(json.dumps(saved))
        return copy

    made = SparseEncoder(folder("cosine")).encode(TEXTS[:2])
    assert [float(np.linalg.norm(made[i][1])) for i in range(2)] == pytest.approx([1, 1])
    with pytest.raises(InvalidInputError, match="compares vectors by euclidean"):
        SparseEncoder(folder("euclidean")).encode(["a"])


def test_models_of_another_kind_are_refused_by_name(
    sparse_encoder: Path,
    tiny_encoder: Path,
    tiny_reranker: Path,
    tmp_path: Path,
    make_own_code: Callable[[Path], Path],
) -> None:
    with pytest.raises(InvalidInputError, match="is an encoder of dense vectors"):
        SparseEncoder(tiny_encoder).encode(["a"])
    with pytest.raises(InvalidInputError, match="is an encoder of sparse vectors"):
        Encoder(sparse_encoder).encode(["a"])
    with pytest.raises(InvalidInputError, match="is a model that scores pairs"):
        SparseEncoder(tiny_reranker).encode(["a"])
    with pytest.raises(InvalidInputError, match="needs code of its own"):
        SparseEncoder(make_own_code(sparse_encoder)).encode(["a"])
    with pytest.raises(ModelNotFoundError):
        SparseEncoder(str(tmp_path / "nothing")).encode(["a"])


@pytest.fixture
def make_own_code(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a model, with a last module that is not one of sentence-transformers."""

    def make(folder: Path) -> Path:
        copy = shutil.copytree(folder, tmp_path / "own-code")
        modules = json.loads((copy / "modules.json").read_text())
        modules[-1]["type"] = "own.Pooling"
        (copy / "modules.json").write_text(json.dumps(modules))
        return copy

    return make
