from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.formats.samples import document_id, load_samples
from rerank_search.types import Document


def samples(folder: Path, *records: object, name: str = "dev.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    content = "".join(json.dumps(record) + "\n" for record in records).encode()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def said(collection: JudgedCollection) -> list[str]:
    return [str(finding) for finding in collection.findings]


def order(collection: JudgedCollection, query: str) -> list[str]:
    ranking = collection.runs["given"][query]
    return sorted(ranking, key=lambda document: -ranking[document])


RANKED = {"query": "what is wet", "positive": "water", "documents": ["bread", "water", "snow"]}


@pytest.mark.parametrize("name", ["dev.jsonl", "dev.jsonl.gz"])
def test_ranked_documents_are_the_given_run(tmp_path: Path, name: str) -> None:
    collection = load_samples(samples(tmp_path / "wet", RANKED, name=name))
    assert (collection.name, collection.split) == ("wet", "dev")
    assert collection.queries == {"1": "what is wet"}
    assert collection.qrels == {"1": {document_id("water"): 1}}
    assert order(collection, "1") == [document_id(text) for text in ("bread", "water", "snow")]
    assert collection.located("1", document_id("water")) == f"{name}, line 1"
    assert said(collection) == []


def test_the_id_of_a_text_is_the_beginning_of_its_hash() -> None:
    assert document_id("été") == hashlib.sha256("été".encode()).hexdigest()[:16]


def test_each_text_is_one_document_positives_that_were_not_given_too(tmp_path: Path) -> None:
    other = {"query": "x", "positive": ["snow", "rain"], "documents": ["bread"]}
    collection = load_samples(samples(tmp_path, RANKED, other))
    assert collection.documents is not None
    texts = ["water", "bread", "snow", "rain"]
    assert list(collection.documents()) == [Document(document_id(text), text) for text in texts]


def test_negatives_are_no_first_stage_and_that_is_said(tmp_path: Path) -> None:
    sample = {"query": "what is wet", "positive": ["water"], "negative": ["bread", "snow"]}
    collection = load_samples(samples(tmp_path, RANKED, sample))
    assert order(collection, "2") == [document_id("bread"), document_id("snow")]
    assert said(collection) == [
        "1 samples with negatives instead of ranked documents: they have no first stage, so only "
        "all_positives is meaningful (first: dev.jsonl, line 2)"
    ]


def test_a_query_is_named_by_its_line_blank_lines_counted(tmp_path: Path) -> None:
    path = tmp_path / "dev.jsonl"
    path.write_text(f"\n{json.dumps(RANKED)}\n\n{json.dumps(RANKED)}\n")
    assert list(load_samples(path).qrels) == ["2", "4"]


def test_empty_lists_blank_queries_and_repetitions_are_said_and_stay(tmp_path: Path) -> None:
    collection = load_samples(
        samples(
            tmp_path,
            {"query": "a", "positive": [], "documents": ["bread"]},
            {"query": " ", "positive": "water", "documents": ["bread"]},
            {"query": "c", "positive": "water", "documents": []},
            {"query": "d", "positive": ["water", "water"], "documents": ["rain", "snow", "rain"]},
        )
    )
    assert list(collection.qrels) == ["1", "2", "3", "4"]
    assert collection.qrels["1"] == {}
    assert collection.queries.keys() == {"1", "3", "4"}
    assert collection.runs["given"]["3"] == {}
    assert order(collection, "4") == [document_id("rain"), document_id("snow")]
    assert said(collection) == [
        "1 samples with a blank query, which count 0 (first: dev.jsonl, line 2)",
        "1 samples without a positive, which count 0 (first: dev.jsonl, line 1)",
        "1 samples without candidates, which count 0 unless positives are added "
        "(first: dev.jsonl, line 3)",
        "2 texts that are repeated in a list of one sample, counted once "
        "(first: dev.jsonl, line 4)",
    ]


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ([], "line 1: not a JSON object"),
        ({"positive": "a", "documents": []}, "line 1: no 'query'"),
        ({"query": "q", "documents": []}, "line 1: no 'positive'"),
        ({"query": "q", "positive": "a"}, "line 1: .* this one has neither"),
        ({"query": "q", "positive": "a", "documents": [], "negative": []}, "this one has both"),
        ({"query": 7, "positive": "a", "documents": []}, "line 1: 'query' is not a string: 7"),
        ({"query": "q", "positive": ["a", 7], "documents": []}, r"'positive\[1\]' is not a string"),
        ({"query": "q", "positive": "a", "documents": "b"}, "'documents' is not a list of texts"),
        ({"query": "q", "positive": "a", "negative": ["b", "a"]}, "'a' is both positive and neg"),
        (
            {"query": "q", "positive": "\ud800", "documents": []},
            "'positive' contains a lone surrogate",
        ),
    ],
)
def test_a_line_that_is_no_sample_is_named(tmp_path: Path, record: object, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        load_samples(samples(tmp_path, record))


def test_an_empty_file_and_another_threshold_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"dev\.jsonl is empty"):
        load_samples(samples(tmp_path))
    with pytest.raises(InvalidInputError, match="relevant_from=2"):
        load_samples(samples(tmp_path, RANKED), relevant_from=2)


TEXT = st.text(st.sampled_from("abc \n\u2028"), max_size=3)


@settings(deadline=None, max_examples=50)
@given(documents=st.lists(TEXT, max_size=6), positive=st.lists(TEXT, max_size=3))
def test_the_given_order_is_kept_whatever_the_texts(
    tmp_path_factory: pytest.TempPathFactory, documents: list[str], positive: list[str]
) -> None:
    record = {"query": "q", "positive": positive, "documents": documents}
    collection = load_samples(samples(tmp_path_factory.getbasetemp() / "any", record))
    assert order(collection, "1") == [document_id(text) for text in dict.fromkeys(documents)]
    assert collection.documents is not None
    assert {document.text for document in collection.documents()} == {*documents, *positive}
