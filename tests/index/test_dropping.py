"""An index is whole or gone, whoever uses it and whoever is killed meanwhile."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rerank_search.errors import (
    IndexExistsError,
    IndexLockedError,
    IndexNotFoundError,
    InvalidInputError,
)
from rerank_search.index import Index
from rerank_search.index_names import is_index
from rerank_search.lock import ProcessLock
from rerank_search.types import Document


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Index.create(tmp_path / "notes", encoder=None) as index:
        index.add([Document("a", "a song")])
    return tmp_path / "notes"


def test_a_dropped_index_leaves_nothing(path: Path) -> None:
    Index.drop(path)
    assert list(path.parent.iterdir()) == []
    with pytest.raises(IndexNotFoundError):
        Index.open(path)
    with pytest.raises(IndexNotFoundError):
        Index.drop(path)
    with Index.create(path, encoder=None) as index:
        assert len(index) == 0


@pytest.mark.parametrize("here", ["", ".", ".."])
def test_an_index_around_the_current_folder_is_made_and_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Index.create(".", encoder=None).close()
    inside = folder if here in ("", ".") else folder / "bm25"
    monkeypatch.chdir(inside)
    Index.drop(here)
    assert [*tmp_path.iterdir()] == []


def test_an_index_that_another_process_writes_to_is_not_dropped(path: Path) -> None:
    lock = ProcessLock(path / "write.lock")
    assert lock.acquire(0)
    with pytest.raises(IndexLockedError):
        Index.drop(path, lock_timeout=0.1)
    lock.release()
    with Index.open(path) as index:
        assert index.get("a") is not None


def test_who_has_a_dropped_index_open_is_told(path: Path) -> None:
    with Index.open(path) as opened, Index.open(path, read_only=True) as reader:
        Index.drop(path)
        for use in (
            lambda: opened.add([Document("b", "more")]),
            lambda: opened.retriever("bm25").retrieve(["song"], 5),
            lambda: reader.retriever("bm25").retrieve(["song"], 5),
        ):
            with pytest.raises(IndexNotFoundError, match="was dropped"):
                use()
        assert not path.exists()


def test_the_next_index_of_that_name_is_not_written_by_those_who_had_the_old_one(
    path: Path,
) -> None:
    with Index.open(path) as old:
        Index.drop(path)
        with Index.create(path, encoder=None) as new:
            with pytest.raises(IndexNotFoundError, match="was dropped"):
                old.add([Document("b", "more")])
            with pytest.raises(IndexNotFoundError, match="was dropped"):
                old.retriever("bm25").retrieve(["song"], 5)
            new.add([Document("c", "other words")])
            assert list(new.ids()) == ["c"]
            assert new.verify() == []


def test_the_lock_of_a_process_that_waited_does_not_hinder_a_new_index(path: Path) -> None:
    Index.drop(path)
    waited = ProcessLock(path / "write.lock")  # its file makes the folder again
    assert waited.acquire(0)
    waited.release()
    with pytest.raises(IndexNotFoundError):
        Index.drop(path)
    Index.create(path, encoder=None).close()


def test_what_a_killed_drop_leaves_is_cleared_by_the_next_one_of_that_name(path: Path) -> None:
    left = path.with_name(".notes.dropped")
    path.rename(left)
    assert not is_index(path)
    with pytest.raises(IndexNotFoundError):
        Index.drop(path)
    assert not left.exists()
    left.mkdir()
    (left / "documents.sqlite").touch()
    Index.create(path, encoder=None).close()
    assert not left.exists()


@pytest.mark.process
def test_a_killed_drop_leaves_a_whole_index_or_none(path: Path) -> None:
    program = f"""
import os, signal, sys
def kill(event, arguments):
    if event == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(kill)
from rerank_search import Index
Index.drop({str(path)!r})
"""
    for event in ("os.rename", "shutil.rmtree"):
        ended = subprocess.run([sys.executable, "-c", program, event], check=False)
        assert ended.returncode == -signal.SIGKILL
        assert is_index(path) is (event == "os.rename")
        if is_index(path):
            with Index.open(path) as index:
                assert index.verify() == []
                assert index.get("a") is not None
    Index.create(path, encoder=None).close()
    assert [each.name for each in path.parent.iterdir()] == ["notes"]


def test_files_of_others_are_not_deleted(path: Path) -> None:
    (path / "corpus.jsonl").touch()
    with pytest.raises(InvalidInputError, match=r"corpus\.jsonl"):
        Index.drop(path)
    (path / "corpus.jsonl").unlink()
    (path / ".write.lock.holder.7.tmp").touch()
    (path / "bm25.new").mkdir()
    Index.drop(path)


def test_a_link_is_not_followed(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    with pytest.raises(InvalidInputError, match="is a link"):
        Index.drop(link)
    assert is_index(path)


def test_a_damaged_index_is_dropped_too(path: Path) -> None:
    (path / "manifest.json").unlink()
    Index.drop(path)
    assert not path.exists()


def test_a_folder_of_something_else_is_no_index(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(IndexNotFoundError):
        Index.drop(tmp_path / "other")
    with pytest.raises(IndexExistsError):
        Index.create(tmp_path / "other", encoder=None)
