from __future__ import annotations

import copy
from pathlib import Path

import pytest

from rerank_search import Index, InvalidInputError, SearchIndexError
from rerank_search.plugins.index_source import IndexSource
from tests.plugins.conftest import QUERY


def test_threads_that_ask_first_together_open_and_load_once(
    notes: Path, tiny_reranker: Path, in_threads
):
    source = IndexSource(notes, str(tiny_reranker))
    searchers, loaded = in_threads(source.searcher)
    assert {*searchers} == {source.searcher()}
    assert loaded == 1
    source.close()


def test_what_it_opened_is_closed_and_opened_again(notes: Path):
    source = IndexSource(notes, None)
    opened = source.index
    source.close()
    with pytest.raises(SearchIndexError, match="is closed"):
        len(opened)
    assert source.searcher().search(QUERY).hits
    source.close()


def test_an_index_of_the_user_stays_open(notes: Path):
    with Index.open(notes, read_only=True) as index:
        source = IndexSource(index, None)
        source.close()
        assert len(index)
        with pytest.raises(InvalidInputError, match="cannot be written to a file"):
            _ = source.settings


def test_its_settings_are_strings(notes: Path, tiny_reranker: Path):
    settings = IndexSource(notes, tiny_reranker).settings
    assert settings == {"index": str(notes), "reranker": str(tiny_reranker)}
    assert IndexSource("notes", None).settings == {"index": "notes", "reranker": None}


def test_a_copy_has_an_absolute_path(notes: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(notes.parent)
    source = copy.deepcopy(IndexSource("notes", None))
    monkeypatch.chdir("/")
    assert source.searcher().search(QUERY).hits
    source.close()


@pytest.mark.parametrize("wrong", [{"index": 5}, {"index": "x", "reranker": 5}])
def test_what_is_not_an_index_or_a_reranker_is_refused(wrong):
    with pytest.raises(InvalidInputError, match="=5 "):
        IndexSource(**wrong)
