from __future__ import annotations

import copy
from pathlib import Path

import pytest

from rerank_search import Document, Index, IndexNotFoundError, InvalidInputError, Searcher
from rerank_search.plugins.own_index import OwnIndex
from rerank_search.plugins.source import Source
from rerank_search.searchable import fused_stages
from rerank_search.testing import check_searchable
from tests.index.test_languages_of_an_index import GERMAN, EnglishEncoder, documents
from tests.plugins.conftest import DOCUMENTS, QUERY


def test_it_is_a_searchable(notes: Path):
    own = OwnIndex(notes)
    check_searchable(own, [QUERY, "no such word", ""], documents=len(DOCUMENTS))
    own.close()


def test_a_given_index_stays_open(notes: Path):
    with Index.open(notes, read_only=True) as index:
        own = OwnIndex(index)
        assert own.get() is index
        own.close()
        assert len(own.get()) == len(index) == len(DOCUMENTS)


def test_one_is_made_only_if_asked_for(tmp_path: Path):
    own = OwnIndex(tmp_path / "new")
    with pytest.raises(IndexNotFoundError):
        own.get()
    made = OwnIndex(tmp_path / "new", new={"encoder": None})
    assert len(made.get()) == 0
    assert own.get().info().encoder is None
    made.close()
    own.close()
    with pytest.raises(InvalidInputError, match="index=5 is not an index"):
        OwnIndex(5)


def test_it_is_searched_again_after_closing(notes: Path):
    own = OwnIndex(notes)
    for searching in (Searcher(own, None), Source(index=own, reranker=None).searcher()):
        found = searching.search(QUERY, passages_per_document=2)
        own.close()
        again = searching.search(QUERY, passages_per_document=2)
        assert found.hits
        assert again.hits == found.hits
    copied = copy.deepcopy(own)
    own.close()
    assert len(copied.get()) == len(DOCUMENTS)
    copied.close()
    with pytest.raises(InvalidInputError, match="is an object"):
        _ = Source(index=own).settings


def test_it_has_the_fused_stages_of_its_index(tmp_path: Path):
    with Index.create(tmp_path / "reise", encoder=EnglishEncoder(), analyzer="german") as index:
        index.add(documents(GERMAN, 20))
        assert fused_stages(OwnIndex(index)) == index.fused_stages == ("bm25",)


def test_it_takes_the_vectors_of_queries(tmp_path: Path):
    with Index.create(tmp_path / "own", encoder=None, dimension=2) as index:
        index.add([Document("a", "red"), Document("b", "blue")], vectors=[[1.0, 0.0], [0.0, 1.0]])
        found = Searcher(OwnIndex(index), None).search("", query_vector=[0.1, 0.9], top_k=1)
        assert [hit.id for hit in found.hits] == ["b"]


def test_an_index_of_a_server_is_refused():
    with pytest.raises(InvalidInputError, match="is a URL, and this writes to a folder"):
        OwnIndex("http://127.0.0.1:8000/v1/indexes/notes")
