"""RerankSearchDocumentStore, which is in ``haystack_integrations``."""

from __future__ import annotations

import asyncio
import copy
import inspect
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from haystack import Document, Pipeline
from haystack.components.preprocessors import HierarchicalDocumentSplitter
from haystack.components.retrievers import AutoMergingRetriever, SentenceWindowRetriever
from haystack.components.writers import DocumentWriter
from haystack.core.errors import SerializationError
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError

from haystack_integrations.document_stores.rerank_search import RerankSearchDocumentStore
from rerank_search import Document as IndexedDocument
from rerank_search import (
    Index,
    IndexLockedError,
    IndexReadOnlyError,
    InvalidDocumentError,
    InvalidInputError,
)
from rerank_search.lock import ProcessLock

BOTH = [Document("a", content="one", meta={"n": 1}), Document("b", content="two", meta={"n": 2})]
OVER_ONE = {"field": "meta.n", "operator": ">", "value": 1}


@pytest.fixture
def store(empty: Path, tmp_path: Path) -> Iterator[RerankSearchDocumentStore]:
    store = RerankSearchDocumentStore(shutil.copytree(empty, tmp_path / "index"))
    yield store
    store.close()


def ids(documents: list[Document]) -> list[str]:
    return [document.id for document in documents]


def test_every_method_has_one_for_asyncio_with_the_same_arguments():
    methods = dict(inspect.getmembers(RerankSearchDocumentStore, inspect.isfunction))
    public = {
        name for name in methods if not name.startswith("_") and not name.endswith("_async")
    } - {"to_dict", "from_dict"}
    assert len(public) == 13
    for name in public:
        assert inspect.iscoroutinefunction(methods[f"{name}_async"])
        assert inspect.signature(methods[f"{name}_async"]) == inspect.signature(methods[name])


def test_a_new_index_is_made_as_asked(tmp_path: Path):
    store = RerankSearchDocumentStore(
        tmp_path / "index", new_index={"encoder": None, "analyzer": "plain"}
    )
    assert store.write_documents(BOTH) == 2
    store.close()
    with Index.open(tmp_path / "index") as index:
        assert (index.info().encoder, index.info().analyzer) == (None, "plain")
        assert len(index) == 2
        assert RerankSearchDocumentStore(index).count_documents() == 2


def test_invalid_arguments_are_refused(tmp_path: Path):
    for wrong, message in (
        ({"index": 5}, "index=5 is not an index"),
        ({"index": "x", "new_index": {"encodr": None}}, "did you mean 'encoder'"),
        ({"index": "x", "new_index": {"path": "y"}}, "'path'"),
        ({"index": "x", "new_index": "encoder"}, "is not a dict"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            RerankSearchDocumentStore(**wrong)


def test_nothing_is_written_if_one_of_the_ids_exists(store: RerankSearchDocumentStore):
    store.write_documents(BOTH[:1])
    for documents in (BOTH[::-1], [Document("c"), Document("c")]):
        for policy in (DuplicatePolicy.FAIL, DuplicatePolicy.NONE):
            with pytest.raises(DuplicateDocumentError, match=r"'[ac]' exists already"):
                store.write_documents(documents, policy)
    assert ids(store.filter_documents()) == ["a"]


def test_of_equal_ids_the_first_or_the_last_is_written(store: RerankSearchDocumentStore):
    twice = [Document("a", content="first"), Document("a", content="last")]
    assert store.write_documents(twice, DuplicatePolicy.SKIP) == 1
    assert store.filter_documents()[0].content == "first"
    assert store.write_documents(twice, DuplicatePolicy.OVERWRITE) == 2
    assert store.filter_documents()[0].content == "last"


def test_stores_and_threads_that_write_the_same_ids_write_each_once(
    store: RerankSearchDocumentStore,
):
    """Each store has an Index of its own, which is kept out like another process."""
    documents = [Document(str(n), content=f"text {n}") for n in range(5)]
    other = RerankSearchDocumentStore(store.index)
    with ThreadPoolExecutor(8) as pool:
        done = [
            pool.submit(each.write_documents, documents, DuplicatePolicy.SKIP)
            for each in [store, other] * 4
        ]
    assert sorted(each.result() for each in done) == [0] * 7 + [5]
    with ThreadPoolExecutor(2) as pool:
        done = [
            pool.submit(each.write_documents, [Document("new", content="new")])
            for each in (store, other)
        ]
    assert [type(each.exception()) for each in done].count(DuplicateDocumentError) == 1
    assert other.count_documents() == 6
    other.close()


def test_what_cannot_be_written_is_refused(store: RerankSearchDocumentStore):
    for wrong in (
        [Document("a", meta={"a": {1, 2}})],
        [Document("a", meta={"a": float("nan")})],
        [Document("a\0")],
        [Document("a", content="\ud800")],
        [Document("a", meta={"_haystack": "x"})],
        [BOTH[0], "text"],
        [IndexedDocument("a", "text")],
        BOTH[0],
        None,
    ):
        with pytest.raises(InvalidInputError):
            store.write_documents(wrong, DuplicatePolicy.OVERWRITE)
    with pytest.raises(InvalidInputError, match="policy='skip'"):
        store.write_documents(BOTH, "skip")
    with pytest.raises(InvalidInputError):
        store.delete_documents("a")
    with pytest.raises(InvalidDocumentError):
        store.update_by_filter(OVER_ONE, {"_haystack": "x"})
    for wrong in (None, 5, [], "text"):
        with pytest.raises(InvalidDocumentError, match="not a mapping"):
            store.update_by_filter(OVER_ONE, wrong)
    assert store.write_documents([]) == 0
    assert store.count_documents() == 0


@pytest.mark.parametrize("wrong", [None, 5, ["n"], {"n": 1}])
def test_what_is_no_name_of_a_field_is_refused(store: RerankSearchDocumentStore, wrong):
    store.write_documents(BOTH)
    for call in (
        lambda: store.get_metadata_field_min_max(wrong),
        lambda: store.get_metadata_field_unique_values(wrong),
        lambda: store.count_unique_metadata_by_filter({}, [wrong]),
    ):
        with pytest.raises(InvalidInputError, match="metadata_field"):
            call()
    if wrong is not None:
        with pytest.raises(InvalidInputError, match="search_term"):
            store.get_metadata_field_unique_values("n", wrong)


def test_documents_of_many_pages_are_all_found(store: RerankSearchDocumentStore):
    documents = [Document(f"{n:04}", meta={"n": n}) for n in range(2_100)]
    assert store.write_documents(documents) == 2_100
    assert store.filter_documents() == documents
    assert store.count_documents_by_filter(OVER_ONE) == 2_098
    assert store.update_by_filter(OVER_ONE, {"n": 1}) == 2_098
    assert store.delete_by_filter({"field": "meta.n", "operator": "==", "value": 1}) == 2_099
    assert ids(store.filter_documents()) == ["0000"]


def test_documents_are_found_by_their_ids(store: RerankSearchDocumentStore):
    store.write_documents(BOTH)
    named = {"field": "id", "operator": "in", "value": ["b", "x", "a"]}
    assert ids(store.filter_documents(named)) == ["b", "a"]
    both = {"operator": "AND", "conditions": [named, OVER_ONE]}
    assert ids(store.filter_documents(both)) == ["b"]
    assert store.update_by_filter(both, {"n": 5}) == 1
    assert store.delete_by_filter({"field": "id", "operator": "==", "value": "b"}) == 1
    assert store.filter_documents() == BOTH[:1]


def test_an_empty_filter_changes_nothing(store: RerankSearchDocumentStore):
    store.write_documents(BOTH)
    for empty in ({}, None):
        with pytest.raises(FilterError, match="delete_all_documents"):
            store.delete_by_filter(empty)
        with pytest.raises(FilterError):
            store.update_by_filter(empty, {"n": 1})
        assert store.count_documents_by_filter(empty) == 2
    assert store.filter_documents() == BOTH


def test_an_update_keeps_what_haystack_does_not_know(store: RerankSearchDocumentStore):
    store.own_index.get().add([IndexedDocument("a", "text", "The title", {"n": 2})])
    assert store.update_by_filter(OVER_ONE, {"more": [1]}) == 1
    assert store.own_index.get().get("a") == IndexedDocument(
        "a", "text", "The title", {"n": 2, "more": [1]}
    )


def test_an_index_that_cannot_be_written_says_so(notes: Path):
    with Index.open(notes, read_only=True) as index, pytest.raises(IndexReadOnlyError):
        RerankSearchDocumentStore(index).write_documents(BOTH)


def test_an_index_that_is_being_written_can_be_read(empty: Path, tmp_path: Path):
    folder = shutil.copytree(empty, tmp_path / "index")
    lock = ProcessLock(folder / "write.lock")
    with Index.open(folder, lock_timeout=0.1) as index:
        store = RerankSearchDocumentStore(index)
        assert lock.acquire(0)
        with pytest.raises(IndexLockedError):
            store.write_documents(BOTH)
        assert store.filter_documents() == []
        lock.release()
        assert store.write_documents(BOTH) == 2


def test_what_another_process_writes_is_seen(store: RerankSearchDocumentStore):
    assert store.count_documents() == 0
    with Index.open(store.index) as other:
        other.add([IndexedDocument("a", "text")])
    assert store.count_documents() == 1
    assert ids(store.filter_documents()) == ["a"]


def test_it_is_opened_again_after_closing(store: RerankSearchDocumentStore):
    store.write_documents(BOTH)
    store.close()
    store.close()
    assert store.count_documents() == 2
    asyncio.run(store.close_async())
    assert asyncio.run(store.count_documents_async()) == 2


def test_it_is_written_to_a_dict_and_made_again(tmp_path: Path):
    store = RerankSearchDocumentStore(tmp_path / "index", new_index={"encoder": None})
    again = RerankSearchDocumentStore.from_dict(store.to_dict())
    assert again.to_dict() == store.to_dict()
    assert again.write_documents(BOTH) == 2
    copied = copy.deepcopy(again)
    again.close()
    assert copied.count_documents() == 2
    copied.close()
    with Index.open(tmp_path / "index", read_only=True) as index:
        over = RerankSearchDocumentStore(index)
        assert "index" in repr(over)
        with pytest.raises(SerializationError, match="give the folder"):
            over.to_dict()
        opened = copy.deepcopy(over)
        assert opened.count_documents() == 2
        opened.own_index.get().close()


def test_haystacks_writer_writes_from_a_pipeline_in_yaml(tmp_path: Path):
    writing = Pipeline()
    store = RerankSearchDocumentStore(tmp_path / "index", new_index={"encoder": None})
    writing.add_component("writer", DocumentWriter(store, policy=DuplicatePolicy.SKIP))
    again = Pipeline.loads(writing.dumps())
    assert again.run({"writer": {"documents": BOTH}})["writer"]["documents_written"] == 2
    written = asyncio.run(again.run_async({"writer": {"documents": BOTH}}))
    assert written["writer"]["documents_written"] == 0
    again.close()
    assert store.count_documents() == 2
    store.close()


def test_haystacks_retrievers_of_parents_and_windows_find_them(store: RerankSearchDocumentStore):
    text = " ".join(f"word{n}" for n in range(40))
    splitter = HierarchicalDocumentSplitter({20, 10}, split_overlap=0, split_by="word")
    documents = splitter.run([Document(content=text)])["documents"]
    store.write_documents(documents)
    leaves = [each for each in documents if each.meta["__level"] == 2]
    merged = AutoMergingRetriever(store, threshold=0.5).run(leaves[:2])["documents"]
    assert ids(merged) == [leaves[0].meta["__parent_id"]]

    pages = [
        Document(content=f"page {n}", meta={"source_id": "s", "split_id": n, "split_idx_start": n})
        for n in range(5)
    ]
    store.write_documents(pages)
    window = SentenceWindowRetriever(store, window_size=1).run(retrieved_documents=[pages[2]])
    assert [each.content for each in window["context_documents"]] == ["page 1", "page 2", "page 3"]
