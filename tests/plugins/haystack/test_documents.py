from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from haystack.dataclasses import ByteStream, Document, SparseEmbedding
from hypothesis import given
from hypothesis import strategies as st

from rerank_search import Document as IndexedDocument
from rerank_search import FoundPassage, Hit, Index, InvalidDocumentError, SearchResponse
from rerank_search.plugins.haystack.documents import found_documents, from_index, to_index

FULL = Document(
    id="ü/1",
    content="a\x00 𐐀 text",
    meta={"of": {"tags": ["x", None, {"y": 2.5}]}, "title": "", "content": "x", "score": 3},
    blob=ByteStream(bytes(range(256)), meta={"name": "é"}, mime_type="image/png"),
    score=0.5,
    embedding=[0.1, -1e-300, math.inf, 3],
    sparse_embedding=SparseEmbedding([3, 70_000], [0.1, 2]),
)


@pytest.mark.parametrize(
    "document",
    [
        FULL,
        Document(content=""),
        Document(),
        Document(blob=ByteStream(b"")),
        Document(embedding=[]),
        Document(content="text", score=float(np.float32(0.1))),
    ],
    ids=lambda document: document.id[:5],
)
def test_a_document_comes_back_from_an_index_as_it_was(document: Document, tmp_path: Path):
    before = copy.deepcopy(document)
    with Index.create(tmp_path / "index", encoder=None) as index:
        index.add([to_index(document)])
        found = index.get(document.id)
    assert found is not None
    again = from_index(found)
    assert again == document == before
    assert (again.content, again.blob, again.embedding) == (
        document.content,
        document.blob,
        document.embedding,
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=5,
)


@given(
    content=st.none() | st.text(),
    meta=st.dictionaries(st.text(), JSON, max_size=3),
    score=st.none() | st.floats(allow_nan=False),
    embedding=st.none() | st.lists(st.floats(allow_nan=False), max_size=4),
)
def test_any_document_comes_back_as_it_was(content, meta, score, embedding):
    document = Document("1", content=content, meta=meta, score=score, embedding=embedding)
    assert from_index(to_index(document)) == document


def test_what_only_haystack_has_is_one_string_of_the_metadata():
    assert to_index(Document("1", content="text", meta={"a": 1})).metadata == {"a": 1}
    assert isinstance(to_index(FULL).metadata["_haystack"], str)


@pytest.mark.parametrize(
    "document",
    [
        Document(meta={"_haystack": "mine"}),
        Document(blob=ByteStream(b"", meta={"of": {1, 2}})),
        Document(embedding=[None]),
        Document(embedding=["a"]),
    ],
)
def test_what_cannot_be_kept_is_refused(document: Document):
    with pytest.raises(InvalidDocumentError):
        to_index(document)


def test_a_title_of_the_index_is_in_the_metadata():
    found = IndexedDocument("1", "text", "The title", {"lang": "en"})
    assert from_index(found).meta == {"title": "The title", "lang": "en"}
    own = IndexedDocument("1", "text", "The title", {"title": "mine"})
    assert from_index(own).meta == {"title": "mine"}
    alone = from_index(IndexedDocument("1", "", "The title"))
    assert (alone.content, alone.meta) == ("The title", {"title": "The title"})
    assert from_index(IndexedDocument("1", "", "The title"), "none").content == ""
    strange = IndexedDocument("1", "text", metadata={"_haystack": 5})
    assert from_index(strange).meta == {}


def test_a_part_of_a_context_is_content_also_without_any_of_its_own():
    found = replace(to_index(Document("1", meta={"a": 1})), text="[1] The title")
    assert from_index(found) == Document("1", content="[1] The title", meta={"a": 1})


def test_scores_are_probabilities_or_sigmoids_or_as_they_were_sorted_by():
    document = IndexedDocument("1", "text")

    def score(*, relevance: float | None, reranked: bool, scale_score: bool) -> float | None:
        hit = Hit("1", -800.0, 1, document, relevance=relevance)
        response = SearchResponse("q", [hit], "bm25", 1, reranked=reranked)
        [found] = found_documents(response, text="full", scale_score=scale_score)
        return found.score

    assert score(relevance=0.25, reranked=True, scale_score=True) == 0.25
    assert score(relevance=0.25, reranked=True, scale_score=False) == -800.0
    assert score(relevance=None, reranked=True, scale_score=True) == 0.0
    assert score(relevance=None, reranked=False, scale_score=True) == -800.0


def test_passages_and_duplicates_are_in_the_metadata():
    passage = FoundPassage((0, 4), 1.5, "text", 0.5)
    hit = Hit("1", 1.0, 1, IndexedDocument("1", "text"), passages=[passage], duplicates=["2"])
    response = SearchResponse("q", [hit], "bm25", 1, reranked=False)
    [found] = found_documents(response, text="full", scale_score=True)
    assert found.meta == {
        "passages": [{"text": "text", "span": [0, 4], "relevance_score": 0.5}],
        "duplicates": ["2"],
    }
    assert json.dumps(found.to_dict())
