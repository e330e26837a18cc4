from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from rerank_search import Document, EncodedDocument, EncodedQuery, InvalidInputError
from rerank_search.queries import query_list
from rerank_search.vectors import with_vector, with_vectors


def test_a_query_with_its_vector_is_its_text_otherwise() -> None:
    query = EncodedQuery("red bird", np.array([1, 2], np.float32))
    assert query == "red bird"
    assert query.vector == (1.0, 2.0)
    assert json.dumps([query]) == '["red bird"]'
    assert query_list([query])[0] is query


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_query_has_its_vector(again) -> None:
    query = again(EncodedQuery("red", [1, 2]))
    assert (query, query.vector) == ("red", (1.0, 2.0))


def test_a_document_with_its_vector_is_a_document() -> None:
    document = EncodedDocument("a", "red", metadata={"x": 1}, vector=np.array([1.0, 2.0]))
    assert isinstance(document, Document)
    assert document == EncodedDocument("a", "red", metadata={"x": 1}, vector=[1.0, 2.0])


def test_vectors_go_to_documents_in_their_order() -> None:
    documents = [Document("a", "red"), Document("b", "sea")]
    found = list(with_vectors(documents, np.eye(2)))
    assert [each.vector.tolist() for each in found] == [[1, 0], [0, 1]]


@pytest.mark.parametrize("vectors", ["ab", {1: [1]}, 5, None])
def test_what_is_no_list_of_vectors_is_refused(vectors) -> None:
    with pytest.raises(InvalidInputError, match="vectors"):
        list(with_vectors([Document("a", "red")], vectors))


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([], "has no numbers"),
        ([0.0, -0.0], "has only zeros"),
        ([1e-50, -1e-300], "has only numbers that are nearly zero"),
        ([1, None], "None at place 1"),
        ([True], "True at place 0"),
        ([10**400], "at place 0: give finite numbers"),
        ([-1e39], "at place 0: give finite numbers"),
        (b"12", "give a list of numbers"),
        ({1.0}, "give a list of numbers"),
        (np.eye(2), "not a number"),
        (np.array(1.0), "give a list of numbers"),
    ],
)
def test_numbers_that_are_no_vector_are_named(vector, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        EncodedQuery("red", vector)


def test_a_vector_is_for_one_query() -> None:
    assert with_vector(["a", "b"], None) == ["a", "b"]
    [query] = with_vector(["a"], [1, 2])
    assert isinstance(query, EncodedQuery)
    for queries in ([], ["a", "b"]):
        with pytest.raises(InvalidInputError, match="query_vector is one vector"):
            with_vector(queries, [1, 2])
