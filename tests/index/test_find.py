"""Documents by pages, in the order of their ids."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rerank_search.errors import FilterWarning, InvalidFilterError, InvalidInputError
from rerank_search.index import Index
from rerank_search.types import Document

IDS = ["a", "B", "a/b", "a b", "é", "e\u0301", "\U0001f600", "\uffff", "10", "9", "..", "%2F"]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=None) as index:
        index.add(
            Document(id, f"text {n}", f"title {n}", {"n": n, "even": n % 2 == 0, "none": None})
            for n, id in enumerate(IDS)
        )
        yield index


def pages(index: Index, filter: Any = None, *, limit: int) -> list[list[str]]:
    found: list[list[str]] = []
    after = None
    while page := index.find(filter, after=after, limit=limit):
        found.append([each.id for each in page])
        after = page[-1].id
    return found


def test_all_documents_ascend_by_code_point(index: Index) -> None:
    assert [each.id for each in index.find()] == sorted(IDS)
    assert index.find({}) == index.find(None)
    assert index.find()[0] == index.get(sorted(IDS)[0])


@pytest.mark.parametrize("limit", [1, 5, 12, 10**30])
def test_pages_are_all_of_it_once(index: Index, limit: int) -> None:
    assert [id for page in pages(index, limit=limit) for id in page] == sorted(IDS)


def test_a_filter_allows_the_documents_of_each_page(index: Index) -> None:
    expected = sorted(id for n, id in enumerate(IDS) if n % 2 == 0 and n != 4)
    wanted = {"even": True, "n": {"$ne": 4}}
    assert [id for page in pages(index, wanted, limit=2) for id in page] == expected
    assert {len(page) for page in pages(index, wanted, limit=2)[:-1]} == {2}


def test_after_need_not_be_the_id_of_a_document(index: Index) -> None:
    assert [each.id for each in index.find(after="b", limit=2)] == ["e\u0301", "é"]
    assert index.find(after="\U0010ffff") == []
    assert len(index.find(after="")) == len(IDS)


def test_documents_that_stay_are_on_one_page_each_while_others_come_and_go(index: Index) -> None:
    steady = {"a", "B", "é", "\U0001f600"}
    seen: list[str] = []
    after, number = None, count()
    while page := index.find(after=after, limit=2):
        seen += [each.id for each in page]
        after = page[-1].id
        index.delete([each.id for each in index.find() if each.id not in steady])
        new = [Document(f"{after}{next(number)}", "new"), Document(f"!{next(number)}", "new")]
        index.add([*new, Document("é", "a new text", metadata={"n": 0})] if after < "z" else [])
    assert sorted(id for id in seen if id in steady) == sorted(steady)
    assert len(seen) == len(set(seen))


def test_an_empty_index_has_no_pages(tmp_path: Path) -> None:
    with Index.create(tmp_path / "empty", encoder=None) as empty:
        assert empty.find() == []
        assert empty.find({"a": 1}) == []


def test_a_misspelled_key_is_warned_of(index: Index) -> None:
    with pytest.warns(FilterWarning, match="'evn'") as told:
        assert index.find({"evn": True}) == []
    assert told[0].filename == __file__
    assert index.find({"evn": True}, warn=False) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"after": 1.5}, "after"),
        ({"after": "\ud800"}, "surrogate"),
    ],
)
def test_what_is_no_page_is_refused(index: Index, arguments: Any, named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        index.find(**arguments)


def test_an_invalid_filter_is_refused(index: Index) -> None:
    with pytest.raises(InvalidFilterError):
        index.find({"a": {"$regex": "x"}})
    with pytest.raises(InvalidFilterError):
        index.find("a")  # type: ignore[arg-type]


def test_a_document_without_text_is_found_and_deleted_by_its_metadata(index: Index) -> None:
    index.add([Document("empty", "", metadata={"kind": "empty"})])
    assert [each.id for each in index.find({"kind": "empty"})] == ["empty"]
    assert index.delete_matching({"kind": "empty"}) == 1
    assert index.get("empty") is None
