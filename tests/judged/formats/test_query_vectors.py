from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rerank_search import InvalidInputError
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.formats.query_vectors import with_query_vectors

COLLECTION = JudgedCollection(
    name="small",
    split="test",
    queries={"q1": "red", "q2": "sea", "unjudged": "boat"},
    qrels={"q1": {"a": 1}, "q2": {"b": 1}, "without text": {"a": 1}},
    documents=None,
    located=lambda query, document: "qrels",
)


def written(file: Path, *rows: dict) -> Path:
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def test_each_judged_query_gets_its_vector(tmp_path: Path) -> None:
    rows = ({"_id": "q1", "vector": [1, 2]}, {"id": "q2", "vector": [3, 4]}, {"id": "other"})
    queries = with_query_vectors(COLLECTION, written(tmp_path / "v.jsonl", *rows)).queries
    assert (queries["q1"], queries["q1"].vector) == ("red", (1.0, 2.0))
    assert queries["q2"].vector == (3.0, 4.0)
    assert queries["unjudged"] == "boat"


def test_the_file_may_be_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"id": ["q1", "q2"], "vector": [[1.0, 2.0], [3.0, 4.0]]})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "v.parquet")
    queries = with_query_vectors(COLLECTION, tmp_path / "v.parquet").queries
    assert queries["q2"].vector == (3.0, 4.0)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"id": "q3", "vector": [1, 2]}, r"no vector of 1 judged queries \(first 'q2'\)"),
        ({"id": "q1", "vector": [1, 2]}, "line 2: query 'q1' is there twice"),
        ({"id": "q2", "vector": [0, 0]}, "line 2: vector has only zeros"),
        ({"id": "q2", "vector": "ab"}, "line 2: vector is 'ab'"),
        ({"id": "q2"}, "line 2: vector is None"),
        ({"vector": [1, 2]}, "line 2: the id is None"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, second: dict, message: str) -> None:
    file = written(tmp_path / "v.jsonl", {"id": "q1", "vector": [1, 2]}, second)
    with pytest.raises(InvalidInputError, match=message):
        with_query_vectors(COLLECTION, file)


def test_queries_without_judgements_need_none(tmp_path: Path) -> None:
    collection = replace(COLLECTION, qrels={"q1": {"a": 1}})
    file = written(tmp_path / "v.jsonl", {"id": "q1", "vector": [1, 2]})
    assert with_query_vectors(collection, file).queries["q1"].vector == (1.0, 2.0)
