from __future__ import annotations

import json

import pytest

from rerank_search.index import Index
from rerank_search.judged.consistency import queries_in_corpus
from rerank_search.judged.formats.beir import load_beir

LONG = "All happy families are alike; each unhappy family is unhappy in its own way."


@pytest.mark.parametrize(
    ("query", "title", "text", "same"),
    [
        ("a boat", "", "A boat.", True),
        ("a boat", "A Boat", "on the sea", True),
        ("A boat: on the sea", "a boat", "on the sea", True),
        (LONG, "families", f"{LONG} Everything was in confusion.", True),
        (f"On families. {LONG}", "", LONG, True),
        ("boat", "", "a boat", False),
        ("the sea", "a boat", "on the river", False),
        ("?!", "", "", False),
    ],
)
def test_a_query_is_a_document_where_id_and_text_are_the_same(
    tmp_path, query, title, text, same
) -> None:
    folder = tmp_path / "one"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": "1", "title": title, "text": text}, {"_id": "2", "text": query}]
    queries = [{"_id": "1", "text": query}, {"_id": "3", "text": query}]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels/test.tsv").write_text("1\t2\t1\n3\t2\t1\n")
    collection = load_beir(folder, "test")
    with Index.create(tmp_path / "index", encoder=None) as index:
        index.add(collection.documents())
        assert queries_in_corpus(collection, index) == {"1": same}
