"""Indexes with a sparse encoder, from their creation to their rebuild."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from rerank_search import (
    Document,
    Index,
    IndexMismatchError,
    InvalidInputError,
    Searcher,
    SparseEncoder,
)
from rerank_search.corpora.definition import IndexSettings, build_index, load_definition
from rerank_search.errors import RerankSearchError
from rerank_search.judged.corpus_index import content_key
from rerank_search.storage.manifest import Manifest
from rerank_search.storage.passages import Passages
from rerank_search.testing import check_retriever

DOCUMENTS = [
    Document("a", "the red bird in the garden", metadata={"kind": "animal"}),
    Document("b", "a boat on the sea", metadata={"kind": "thing"}),
    Document("c", "old tower " * 60, metadata={"kind": "thing"}),
]
QUERY = "which bird is red"


def filled(path: Path, sparse_encoder: object, **options) -> Index:
    index = Index.create(path, encoder=None, sparse_encoder=sparse_encoder, **options)
    index.add(DOCUMENTS)
    return index


def scores(index: Index, query: str = QUERY, **options) -> dict[str, float]:
    [hits] = index.retriever("sparse").retrieve([query], 10, **options)
    return {hit.id: hit.score for hit in hits}


def test_a_sparse_stage_finds_filters_updates_and_opens_again(
    sparse_encoder: Path, tmp_path: Path
) -> None:
    with filled(tmp_path / "index", sparse_encoder) as index:
        assert index.first_stages == ("sparse", "bm25")
        before = scores(index)
        assert set(before) == {"a", "b", "c"}
        assert scores(index, filter={"kind": "thing"}) == {
            id: score for id, score in before.items() if id != "a"
        }
        check_retriever(index.retriever("sparse"), [QUERY, "sea"], documents=3)
        [hits] = index.stage_scores([QUERY], [Searcher(index, reranker=None).search(QUERY).hits])
        assert {hit.id: hit.stage_scores["sparse"] for hit in hits}["a"] == before["a"]
        index.delete(["a"])
        assert set(scores(index)) == {"b", "c"}
        index.compact()
        index.add([DOCUMENTS[0]])
        assert scores(index) == pytest.approx(before, rel=1e-6)
        assert index.info().sparse_encoder == str(sparse_encoder)
        assert index.info().bytes_engines["sparse"] > 0
        assert index.verify() == []
    with Index.open(tmp_path / "index") as index:
        assert scores(index) == pytest.approx(before, rel=1e-6)
        index.rebuild()
        assert scores(index) == pytest.approx(before, rel=1e-6)
        assert index.verify() == []


def test_changes_after_a_crash_are_applied_when_the_index_is_opened(
    sparse_encoder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "index"
    with filled(path, sparse_encoder) as index:
        early = shutil.copytree(path / "sparse", tmp_path / "early")
        index.delete(["b"])
        index.add([Document("d", "a red bird")])
        expected = scores(index)
    shutil.rmtree(path / "sparse")
    early.rename(path / "sparse")
    with Index.open(path) as index:
        assert scores(index) == pytest.approx(expected, rel=1e-6)
        assert index.verify() == []


def test_dense_and_sparse_stand_beside_each_other(
    tiny_encoder: Path, sparse_encoder: Path, tmp_path: Path
) -> None:
    made = SparseEncoder(sparse_encoder, document_prompt="text: ")
    with Index.create(tmp_path / "i", encoder=str(tiny_encoder), sparse_encoder=made) as index:
        index.add(DOCUMENTS)
        assert index.first_stages == ("sparse", "bm25", "dense", "hybrid")
        expected = scores(index)
    with Index.open(tmp_path / "i") as index:
        assert index.sparse_encoder is not None
        assert index.sparse_encoder.document_prompt == "text: "
        assert scores(index) == expected
        assert index.verify() == []


def test_a_damaged_stage_is_named_and_built_again(sparse_encoder: Path, tmp_path: Path) -> None:
    with filled(tmp_path / "index", sparse_encoder) as index:
        expected = scores(index)
    [file] = (tmp_path / "index/sparse").glob("weights-*.npy")
    file.write_bytes(b"nothing")
    with Index.open(tmp_path / "index", for_repair=True) as index:
        assert any(file.name in problem for problem in index.verify())
        index.rebuild()
        assert scores(index) == pytest.approx(expected, rel=1e-6)
        assert index.verify() == []


def test_another_model_is_noticed(sparse_encoder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(sparse_encoder, tmp_path / "moved")
    filled(tmp_path / "index", moved).close()
    with Index.open(tmp_path / "index", sparse_encoder=sparse_encoder) as index:
        assert index.verify() == []  # it is the same model in another place
    other = shutil.copytree(sparse_encoder, tmp_path / "other")
    file = other / "config_sentence_transformers.json"
    settings = json.loads(file.read_text()) | {"max_active_dims": 3}
    file.write_text(json.dumps(settings))
    with pytest.raises(IndexMismatchError, match="gives other vectors"):
        Index.open(tmp_path / "index", sparse_encoder=other)
    (moved / file.name).write_text(json.dumps(settings))
    with Index.open(tmp_path / "index") as index:
        [problem] = index.verify()
        assert "is not the one that the index was built with" in problem
    (moved / file.name).write_text(
        json.dumps(settings | {"max_active_dims": None, "prompts": {"query": "q: "}})
    )
    with Index.open(tmp_path / "index") as index:
        [problem] = index.verify()
        assert "create the index again to use these" in problem


def test_arguments_that_do_not_fit_are_refused_and_nothing_is_written(
    sparse_encoder: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "index"
    for options, message in (
        ({"first_stages": ["sparse"]}, "needs a sparse encoder"),
        ({"sparse_encoder": str(tiny_encoder)}, "is an encoder of dense vectors"),
        ({"sparse_encoder": SparseEncoder}, "is not a SparseEncoder of rerank_search"),
        ({"sparse_encoder": 3}, "sparse_encoder"),
        ({"sparse_encoder": SparseEncoder(sparse_encoder, document_prompt="a " * 60)}, "leaves"),
        ({"sparse_encoder": sparse_encoder, "passages": Passages(tokens=99)}, "do not fit"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            Index.create(path, encoder=None, **options)
        assert not path.exists()
    with pytest.raises(InvalidInputError, match="is an encoder of sparse vectors"):
        Index.create(path, encoder=sparse_encoder)
    Index.create(path, encoder=None).close()
    with pytest.raises(IndexMismatchError, match="without a sparse encoder"):
        Index.open(path, sparse_encoder=sparse_encoder)


def test_passages_longer_than_the_window_are_told(
    tiny_encoder: Path, sparse_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    short = shutil.copytree(sparse_encoder, tmp_path / "short")
    file = short / "sentence_bert_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"max_seq_length": 32}))
    with caplog.at_level(logging.WARNING):
        Index.create(tmp_path / "i", encoder=str(tiny_encoder), sparse_encoder=short).close()
    [record] = caplog.records
    assert "reads 32 tokens, and passages have up to 64" in record.getMessage()


def test_a_definition_names_the_sparse_encoder(sparse_encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text('{"id": "a", "text": "a red bird"}\n')
    file = tmp_path / "notes.toml"
    files = 'encoder = false\nfiles = ["notes.jsonl"]\n'
    file.write_text(f'sparse_encoder = "{sparse_encoder}"\n{files}')
    for _ in range(2):  # the second time it is opened
        build_index(load_definition(file), tmp_path / "notes")
    assert list(Manifest.read(tmp_path / "notes").first_stages) == ["sparse"]
    file.write_text(files)
    with pytest.raises(IndexMismatchError, match="sparse_encoder"):
        build_index(load_definition(file), tmp_path / "notes")
    file.write_text(f'first_stages = ["sparse"]\n{files}')
    with pytest.raises(RerankSearchError, match="needs a sparse_encoder"):
        build_index(load_definition(file), tmp_path / "notes")


def test_rankings_are_kept_by_the_content_of_the_sparse_encoder(
    sparse_encoder: Path, tmp_path: Path
) -> None:
    def key(encoder: Path | None) -> str:
        name = None if encoder is None else str(encoder)
        return content_key(iter(DOCUMENTS), IndexSettings(encoder=False, sparse_encoder=name))

    moved = shutil.copytree(sparse_encoder, tmp_path / "moved")
    assert key(moved) == key(sparse_encoder) != key(None)
    (moved / "config.json").write_text("{}")
    assert key(moved) != key(sparse_encoder)
