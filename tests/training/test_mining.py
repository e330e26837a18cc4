from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.training.collection import load_collection
from rerank_search.training.mining import Lists, encode, mine
from rerank_search.training.recipe import Negatives, SoftLabels, Source

pytest.importorskip("bm25s", reason="mining needs the extra bm25s")


def mined(collection: Path, encoder: Path, cache: Path, *, seed: int = 1, **options: int) -> Lists:
    negatives = Negatives(encoder=str(encoder), depth=4, per_query=3, random=1)
    source = Source(collection=collection, **options)
    return mine(source, negatives, None, seed=seed, cache=cache)


def test_each_list_starts_with_a_relevant_document(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    known = load_collection(collection, "train")
    relevant = {
        known.queries[query]: {known.documents[d] for d, grade in judged.items() if grade > 0}
        for query, judged in known.qrels.items()
    }
    lists = mined(collection, tiny_encoder, tmp_path)
    assert sorted(lists["query"]) == sorted(relevant)
    for query, documents, labels in zip(*lists.values(), strict=True):
        assert documents[0] in relevant[query]
        assert not relevant[query] & set(documents[1:])
        assert len(set(documents)) == len(documents) >= 3
        assert labels == [1.0] + [0.0] * (len(documents) - 1)


def test_the_same_seed_gives_the_same_lists(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    first = mined(collection, tiny_encoder, tmp_path)
    assert mined(collection, tiny_encoder, tmp_path) == first
    assert mined(collection, tiny_encoder, tmp_path, seed=2) != first


def test_a_made_up_query_is_cut_out_of_its_document(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    lists = mined(collection, tiny_encoder, tmp_path, queries=0, made_up=5)
    texts = load_collection(collection, "train").documents.values()
    assert len(lists["query"]) == 5
    for query, documents in zip(lists["query"], lists["documents"], strict=True):
        assert any(query in text for text in texts)
        assert query not in documents[0]


def test_soft_labels_are_the_teachers_logits(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    negatives = Negatives(encoder=str(tiny_encoder), depth=4, per_query=3, random=0)
    labels = SoftLabels(cosine=2.0, bm25=0.0, gold=5.0)
    lists = mine(Source(collection=collection), negatives, labels, seed=1, cache=tmp_path)
    for query, documents, logits in zip(*lists.values(), strict=True):
        vectors = encode([query, *documents], str(tiny_encoder), None)
        expected = 2.0 * vectors[1:] @ vectors[0]
        expected[0] += 5.0
        # Vectors are computed in bfloat16, and alone they are padded otherwise.
        np.testing.assert_allclose(logits, expected, atol=0.05)


def test_vectors_come_from_the_cache_the_second_time(tiny_encoder: Path, tmp_path: Path) -> None:
    first = encode(["a river", "a bridge"], str(tiny_encoder), tmp_path)
    [file] = tmp_path.iterdir()
    np.save(file, first + 1)
    np.testing.assert_array_equal(
        encode(["a river", "a bridge"], str(tiny_encoder), tmp_path), first + 1
    )


def test_judgements_of_unknown_documents_are_left_out(collection: Path) -> None:
    assert load_collection(collection, "train").qrels["q0"] == {"d0": 1, "d1": 0}


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("queries.jsonl", '{"_id": "q0"}\n', r"queries\.jsonl, line 1: no 'text'"),
        ("queries.jsonl", "[broken\n", r"queries\.jsonl, line 1: not JSON"),
        ("qrels/train.tsv", "q0\td0\n", r"train\.tsv, line 1: expected"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, file: str, content: str, problem: str) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d0", "text": "x"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q0", "text": "x"}\n')
    (tmp_path / "qrels" / "train.tsv").write_text("q0\td0\t1\n")
    (tmp_path / file).write_text(content)
    with pytest.raises(InvalidInputError, match=problem):
        load_collection(tmp_path, "train")
