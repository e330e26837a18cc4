import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rerank_search.errors import (
    IndexCorruptedError,
    IndexReadOnlyError,
    InvalidInputError,
    SearchIndexError,
)
from rerank_search.retrieval.base import Passage
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.passages import Split, whole
from rerank_search.storage.records import checked
from rerank_search.types import Document


def put(store: DocumentStore, *documents: Document, split: Any = whole) -> int:
    return store.put([checked(document, i) for i, document in enumerate(documents)], split)


def halves(title: str, text: str) -> Split:
    middle = len(text) // 2
    return Split([(0, middle), (middle, len(text))], len(title))


def added(store: DocumentStore, since: int) -> list[str]:
    with store.changes(since) as changes:
        return [passage.text for passage in changes.added]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "documents.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[DocumentStore]:
    store = DocumentStore.create(path)
    yield store
    store.close()


def test_a_document_comes_back_as_it_was(store: DocumentStore, path: Path) -> None:
    document = Document(
        "é/e\u0301 😀", "nul \0 text\n", "títle\0", {"b": [1, None, {"c": True}], "a": 0.1, "": ""}
    )
    put(store, document)
    store.close()
    again = DocumentStore(path)
    [found] = again.get([document.id])
    assert found == document
    assert found is not None
    assert list(found.metadata) == ["b", "a", ""]
    again.close()


def test_ids_that_differ_in_case_or_normalisation_are_different(store: DocumentStore) -> None:
    ids = ["a", "A", "é", "e\u0301", "a ", " a"]
    put(store, *(Document(id, id) for id in ids))
    assert [found.text for found in store.get(ids) if found] == ids
    assert list(store.ids()) == sorted(ids)


def test_the_last_of_equal_ids_wins(store: DocumentStore) -> None:
    assert put(store, Document("a", "first"), Document("a", "last")) == 1
    assert store.get(["a"]) == [Document("a", "last")]


def test_an_upsert_that_changes_nothing_is_no_change(store: DocumentStore) -> None:
    put(store, Document("a", "text", metadata={"n": 1}))
    assert put(store, Document("a", "text", metadata={"n": 1})) == 0
    assert store.totals().seq == 1


def test_new_metadata_keeps_the_passages(store: DocumentStore) -> None:
    put(store, Document("a", "text", metadata={"n": 1}))
    before = store.passages_of(["a"])
    assert put(store, Document("a", "text", metadata={"n": 2})) == 1
    assert store.passages_of(["a"]) == before
    assert added(store, 1) == []
    assert store.totals().seq == 2


def test_a_new_version_has_new_passages_and_the_old_ones_are_removed(store: DocumentStore) -> None:
    put(store, Document("a", "one two"), split=halves)
    old = store.passages_of(["a"])[0]
    put(store, Document("a", "three"))
    [new] = store.passages_of(["a"])
    assert not set(old) & set(new)
    with store.changes(1) as changes:
        assert changes.removed == old
        assert [passage.text for passage in changes.added] == ["three"]
    assert store.locate(np.array([*old, *new])) == [None, None, ("a", None)]


def test_a_passage_id_is_never_used_again(store: DocumentStore, path: Path) -> None:
    put(store, Document("a", "text"))
    first = store.passages_of(["a"])[0]
    store.delete(["a"])
    store.close()
    again = DocumentStore(path)
    put(again, Document("b", "text"))
    assert again.passages_of(["b"])[0] > first
    again.close()


def test_a_passage_is_located_by_its_span_and_carries_the_title(store: DocumentStore) -> None:
    put(store, Document("a", "onetwo", "Title"), split=halves)
    located = store.locate(store.passage_ids())
    assert located == [("a", (0, 3)), ("a", (3, 6))]
    assert added(store, 0) == ["Title\none", "Title\ntwo"]
    assert store.splits


def test_nothing_splits_where_every_document_is_whole(store: DocumentStore) -> None:
    put(store, Document("a", "one"))
    assert not store.splits


@pytest.mark.parametrize(
    ("split", "parts"),
    [
        (Split([None], 5), [("title", "some text")]),
        (Split([(0, 4), (5, 9)], 5), [("title", "some"), ("title", "text")]),
        (Split([(0, 0), (0, 4), (5, 9)], 3), [("title", ""), ("tit", "some"), ("tit", "text")]),
    ],
)
def test_a_passage_knows_its_title_and_its_body(
    store: DocumentStore, split: Split, parts: list[tuple[str, str]]
) -> None:
    store.put([checked(Document("a", "some text", "title"), 0)], lambda title, text: split)
    passages = [Passage(each.id, each.text, each.title) for each in store.corpus()]
    assert [(passage.title, passage.body) for passage in passages] == parts


def test_the_passage_of_an_untitled_document_is_all_body(store: DocumentStore) -> None:
    store.put([checked(Document("a", "some text"), 0)], whole)
    [passage] = [Passage(each.id, each.text, each.title) for each in store.corpus()]
    assert (passage.title, passage.body) == ("", "some text")


def test_a_document_with_neither_title_nor_text_is_stored_and_has_no_passage(
    store: DocumentStore,
) -> None:
    put(store, Document("a", ""))
    assert store.get(["a"]) == [Document("a", "")]
    assert store.passages_of(["a"]) == [[]]


def test_changes_come_in_steps_that_lose_nothing(store: DocumentStore) -> None:
    for i in range(25):
        put(store, Document(f"{i % 10}", f"text {i}"))
    seen: dict[int, str] = {}
    seq = 0
    while seq < store.totals().seq:
        with store.changes(seq, most=4) as changes:
            seen.update((passage.id, passage.text) for passage in changes.added)
            for passage in changes.removed:
                seen.pop(passage, None)
            assert changes.seq > seq
            seq = changes.seq
    assert seen == {passage.id: passage.text for passage in store.corpus()}


def test_unknown_and_impossible_ids_are_not_there(store: DocumentStore) -> None:
    assert store.get(["missing", "\ud800", ""]) == [None, None, None]
    assert store.delete(["missing", "\ud800"]) == 0
    assert store.passages_of(["missing"]) == [[]]
    assert store.totals().seq == 0


def test_an_id_that_is_no_string_is_refused(store: DocumentStore) -> None:
    with pytest.raises(InvalidInputError, match="7"):
        store.get([7])  # type: ignore[list-item]


def test_more_ids_than_sqlite_takes_parameters(store: DocumentStore) -> None:
    ids = [str(i) for i in range(40_000)]
    put(store, Document("39999", "text"))
    assert store.get(ids)[-1] is not None
    assert store.delete(ids) == 1


def test_a_reader_sees_one_commit_while_another_is_written(store: DocumentStore) -> None:
    put(store, Document("a", "old"))
    with store.changes(0) as changes:
        put(store, Document("b", "new"))
        assert [passage.text for passage in changes.added] == ["old"]


def test_threads_share_a_store(store: DocumentStore) -> None:
    put(store, *(Document(str(i), f"text {i}") for i in range(100)))
    wrong: list[object] = []

    def read() -> None:
        for i in range(100):
            found = store.get([str(i)])
            if found != [Document(str(i), f"text {i}")]:
                wrong.append(found)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for i in range(20):
        put(store, Document(f"more {i}", "text"))
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_store_that_is_open_for_reading_is_not_written(store: DocumentStore, path: Path) -> None:
    put(store, Document("a", "text"))
    reader = DocumentStore(path, read_only=True)
    assert reader.get(["a"]) == [Document("a", "text")]
    with pytest.raises(IndexReadOnlyError):
        put(reader, Document("b", "text"))
    reader.close()


def test_a_closed_store_says_so(store: DocumentStore) -> None:
    store.close()
    with pytest.raises(SearchIndexError, match="closed"):
        store.totals()


def test_a_missing_file_is_no_empty_store(path: Path) -> None:
    with pytest.raises(IndexCorruptedError, match=r"documents\.sqlite"):
        DocumentStore(path)


def test_a_file_that_is_no_store_is_named(path: Path) -> None:
    path.write_bytes(b"this is not a database" * 1000)
    with pytest.raises(IndexCorruptedError, match=r"documents\.sqlite"):
        DocumentStore(path)


def test_a_damaged_page_is_a_problem(store: DocumentStore, path: Path) -> None:
    put(store, *(Document(str(i), "text " * 100) for i in range(500)))
    assert store.problems() == []
    store.vacuum()
    store.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 4096)
    damaged = DocumentStore(path)
    try:
        problems = damaged.problems()
    except IndexCorruptedError as error:
        problems = [str(error)]
    assert problems
    damaged.close()


def test_vacuum_forgets_the_passages_that_were_removed(store: DocumentStore) -> None:
    put(store, Document("a", "text"), Document("b", "text"))
    store.delete(["a"])
    assert store.has_removed
    store.vacuum()
    assert not store.has_removed
    with store.changes(0) as changes:
        assert [passage.text for passage in changes.added] == ["text"]
        assert changes.removed == []


def test_counts_that_do_not_fit_are_a_problem(store: DocumentStore, path: Path) -> None:
    put(store, Document("a", "text"))
    with sqlite3.connect(path) as other:
        other.execute("UPDATE state SET documents = 5")
    other.close()
    assert any("5" in problem for problem in store.problems())


IDS = st.sampled_from(["a", "A", "b", "é", "e\u0301", "x/y"])
DOCUMENTS = st.builds(
    Document,
    id=IDS,
    text=st.sampled_from(["", "one", "two\0", "three four"]),
    title=st.sampled_from(["", "t"]),
    metadata=st.dictionaries(st.sampled_from("kl"), st.integers(0, 1), max_size=2),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(DOCUMENTS, max_size=4)),
        st.tuples(st.just("delete"), st.lists(IDS, max_size=3)),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=12,
)


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_a_store_is_a_dictionary_that_survives_reopening(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("store") / "documents.sqlite"
    store = DocumentStore.create(path)
    model: dict[str, Document] = {}
    for step, values in steps:
        if step == "put":
            latest = {document.id: document for document in values}
            # Compare as text: 1 is not 1.0, and the order of metadata is kept.
            changed = sum(repr(model.get(id)) != repr(document) for id, document in latest.items())
            assert put(store, *values) == changed
            model.update(latest)
        elif step == "delete":
            assert store.delete(values) == len(set(values) & model.keys())
            for id in values:
                model.pop(id, None)
        else:
            store.close()
            store = DocumentStore(path)
    assert {id: store.get([id])[0] for id in store.ids()} == model
    assert store.totals().documents == len(model)
    texts = sorted(f"{d.title}\n{d.text}" if d.title else d.text for d in model.values())
    assert sorted(added(store, 0)) == [text for text in texts if text.strip()]
    assert store.problems() == []
    store.close()
