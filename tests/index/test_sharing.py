"""Threads and processes that share an index."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from rerank_search.errors import (
    IndexCorruptedError,
    IndexLockedError,
    IndexReadOnlyError,
    InvalidDocumentError,
    InvalidInputError,
)
from rerank_search.index import Index
from rerank_search.lock import Holder, ProcessLock
from rerank_search.storage.manifest import Manifest
from rerank_search.types import Document

WRITER = """
import sys
from rerank_search.index import Index
from rerank_search.types import Document
for line in sys.stdin:
    command, _, argument = line.strip().partition(" ")
    if command == "open":
        index = Index.open(argument)
    elif command == "close":
        index.close()
    elif command == "add":
        index.add([Document(id, f"text {id}") for id in argument.split()])
    elif command == "begin":
        def begun():
            yield Document(argument, f"text {argument}")
            print("begun", flush=True)
            sys.stdin.readline()
        index.add(begun(), batch_size=1)
    elif command == "rebuild":
        index.rebuild()
    else:
        index.delete(argument.split())
    print("done", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Index.create(tmp_path / "index", encoder=None) as index:
        index.add([Document("a", "text a")])
    return tmp_path / "index"


class Writer:
    """Another process that opens an index."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def do(self, command: str, answer: str = "done") -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == f"{answer}\n"

    def begin(self, id: str) -> None:
        """Begin an ``add`` that continues until the next ``do``."""
        self.do(f"begin {id}", "begun")

    def end(self) -> None:
        """Let it end."""
        self.do("")

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def leave(self) -> None:
        """Let the process end by itself."""
        self._process.communicate()
        assert self._process.returncode == 0


Opened = Callable[[Path], AbstractContextManager[Writer]]


@pytest.fixture(scope="module")
def writer() -> Iterator[Opened]:
    """Opens an index in another process, which goes on to the next test unless it is killed."""
    started: list[Writer] = []

    @contextmanager
    def opened(path: Path) -> Iterator[Writer]:
        if not (started and started[-1].running):
            started.append(Writer())
        other = started[-1]
        try:
            other.do(f"open {path}")
            yield other
            if other.running:
                other.do("close")
        except BaseException:
            other.kill()
            raise

    yield opened
    if started and started[-1].running:
        started[-1].leave()


def found(index: Index) -> list[str]:
    [hits] = index.retriever("bm25").retrieve(["text"], 100)
    return sorted(hit.id for hit in hits)


@pytest.mark.process
def test_an_open_index_that_is_not_written_to_keeps_no_other_writer_out(
    path: Path, writer: Opened
) -> None:
    with Index.open(path, lock_timeout=0) as index, writer(path) as other:
        other.do("add b")
        index.add([Document("c", "text c")])
        other.do("delete a")
        index.delete_matching({"kind": "none"}, warn=False)
        other.do("rebuild")
        index.compact()
        other.do("add d")
        assert found(index) == ["b", "c", "d"]
        assert index.verify() == []


def test_two_indexes_in_one_process_write_in_turn(path: Path) -> None:
    with Index.open(path, lock_timeout=0) as first, Index.open(path, lock_timeout=0) as second:
        for i in range(3):
            first.add([Document(f"first {i}", f"text {i}")])
            second.add([Document(f"second {i}", f"text {i}")])
        second.rebuild()
        first.delete(["a", "second 0"])
        second.add([Document("last", "text")])
        for index in (first, second):
            assert len(index) == 6
            assert len(found(index)) == 6
            assert index.verify() == []


def test_what_is_read_while_writing_holds_until_it_is_written(path: Path) -> None:
    with Index.open(path) as index, Index.open(path, lock_timeout=0) as other:
        with index.writing():
            assert index.get("b") is None
            with pytest.raises(IndexLockedError):
                other.add([Document("b", "of another")])
            index.add([Document("b", "new")])
            with pytest.raises(IndexLockedError), other.writing():
                pass
        assert other.delete(["b"]) == 1
    reader = Index.open(path, read_only=True)
    with reader, pytest.raises(IndexReadOnlyError), reader.writing():
        pass


def test_a_second_writer_waits_until_the_first_is_done(path: Path, writer: Opened) -> None:
    with Index.open(path, lock_timeout=60) as index, writer(path) as other:
        other.begin("b")
        adding = threading.Thread(target=index.add, args=([Document("c", "text c")],))
        adding.start()
        adding.join(0.2)
        assert adding.is_alive()
        other.end()
        adding.join()
        assert found(index) == ["a", "b", "c"]
        assert index.verify() == []


def test_a_writer_that_waits_in_vain_is_told_who_is_writing(path: Path, writer: Opened) -> None:
    with Index.open(path, lock_timeout=0.1) as index, writer(path) as other:
        other.begin("b")
        with pytest.raises(IndexLockedError, match=f"process {other.pid} on .* is writing"):
            index.add([Document("c", "text c")])
        assert len(index) == 2
        other.end()
        index.add([Document("c", "text c")])
        assert index.verify() == []


def test_a_writer_that_is_killed_frees_the_index(path: Path, writer: Opened) -> None:
    with Index.open(path, lock_timeout=0) as index, writer(path) as other:
        other.begin("b")
        other.kill()
        index.add([Document("c", "text c")])
        assert found(index) == ["a", "b", "c"]
        assert index.verify() == []


def test_a_call_that_fails_frees_the_index(path: Path) -> None:
    with Index.open(path, lock_timeout=0) as first, Index.open(path, lock_timeout=0) as second:
        with pytest.raises(InvalidDocumentError):
            first.add([Document("b", "text b"), Document("", "no id")])
        second.add([Document("c", "text c")])
        assert found(second) == ["a", "c"]


@pytest.mark.process
def test_threads_that_wait_for_another_process_give_up_together(path: Path, writer: Opened) -> None:
    refused: list[object] = []
    with Index.open(path, lock_timeout=1) as index, writer(path) as other:
        other.begin("b")

        def add() -> None:
            with pytest.raises(IndexLockedError):
                index.add([Document("c", "text c")])
            refused.append(True)

        threads = [threading.Thread(target=add) for _ in range(16)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 16
        assert time.monotonic() - began < 12  # 16 s one after another
        other.end()


@pytest.mark.process
def test_the_environment_says_how_long_writers_wait(
    path: Path, writer: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_LOCK_TIMEOUT", "0.25")
    with Index.open(path) as index, writer(path) as other:
        other.begin("b")
        with pytest.raises(IndexLockedError, match=r"after 0\.25 s"):
            index.delete(["a"])
        other.end()


@pytest.mark.parametrize("wait", [-1, float("nan"), float("inf"), True, "10"])
def test_a_wait_that_is_not_a_number_of_seconds_is_refused(tmp_path: Path, wait: object) -> None:
    with pytest.raises(InvalidInputError, match="lock_timeout"):
        Index.create(tmp_path / "new", encoder=None, lock_timeout=wait)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_a_reader_sees_what_another_process_has_published(path: Path, writer: Opened) -> None:
    with Index.open(path, read_only=True) as reader, writer(path) as other:
        retriever = reader.retriever("bm25")
        other.do("add b c")
        assert {hit.id for hit in retriever.retrieve(["text"], 10)[0]} == {"a", "b", "c"}
        other.do("delete a b")
        assert {hit.id for hit in retriever.retrieve(["text"], 10)[0]} == {"c"}
        other.do("rebuild")
        other.do("add d")
        assert {hit.id for hit in retriever.retrieve(["text"], 10)[0]} == {"c", "d"}
        assert len(reader) == 2


def test_an_index_opens_while_another_process_is_writing(path: Path, writer: Opened) -> None:
    with writer(path) as other:
        other.do("add b")
        with Index.open(path) as index:
            assert found(index) == ["a", "b"]


def test_a_rebuild_elsewhere_is_seen_by_both_stages(tiny_encoder: Path, tmp_path: Path) -> None:
    path = tmp_path / "dense"
    texts = {"a": "bird", "b": "river", "c": "cheese bread", "d": "violin song"}
    with Index.create(path, encoder=str(tiny_encoder)) as first:
        first.add([Document(id, text) for id, text in texts.items()])
        first.delete(["a"])
        with Index.open(path, read_only=True) as reader:
            first.rebuild()
            first.add([Document("a", "bird"), Document("e", "winter")])
            for id, text in {**texts, "e": "winter"}.items():
                for stage in ("bm25", "dense"):
                    assert reader.retriever(stage).retrieve([text], 1)[0][0].id == id


def test_a_rebuild_elsewhere_is_seen_where_folders_cannot_be_told_apart(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "index"
    with Index.create(path, encoder=str(tiny_encoder)) as first:
        first.add([Document("a", "bird"), Document("b", "river"), Document("c", "cheese bread")])
        first.delete(["a"])
        with Index.open(path, read_only=True) as reader:
            with the_number_of(path / "dense"):
                first.rebuild()
            for id, text in {"b": "river", "c": "cheese bread"}.items():
                [[hit]] = reader.retriever("dense").retrieve([text], 1)
                assert hit.id == id
                assert hit.score == pytest.approx(1.0, abs=1e-5)


@contextmanager
def the_number_of(folder: Path) -> Iterator[None]:
    """The inode of what replaces the folder meanwhile is the folder's.

    A file system may give the number of a deleted folder to a new one.
    """
    kept = folder.with_name("kept")
    folder.rename(kept)
    shutil.copytree(kept, folder)
    yield
    for file in kept.iterdir():
        file.unlink()
    for file in folder.iterdir():
        file.rename(kept / file.name)
    folder.rmdir()
    kept.rename(folder)


def test_a_reader_opens_after_the_second_of_a_rebuilds_two_renames(
    path: Path, when_called: Callable[..., AbstractContextManager[None]]
) -> None:
    bm25, new = path / "bm25", path / "bm25.new"
    bm25.rename(new)
    # The other process renames when the reader is already waiting for that.
    renames = when_called(time.sleep, lambda _: new.exists() and new.rename(bm25))
    with renames, Index.open(path, read_only=True) as reader:
        assert found(reader) == ["a"]


@pytest.mark.parametrize("stage", ["bm25", "dense"])
def test_a_search_between_a_rebuilds_two_renames_finds_what_it_replaces(
    tiny_encoder: Path, tmp_path: Path, stage: str
) -> None:
    path = tmp_path / "index"
    with Index.create(path, encoder=str(tiny_encoder)) as index:
        index.add([Document("a", "bird")])
    with Index.open(path, read_only=True) as reader:
        between_two_renames(path / stage)
        [[hit]] = reader.retriever(stage).retrieve(["bird"], 10)
        assert hit.id == "a"


def test_a_writer_mends_what_another_left_between_two_renames(path: Path) -> None:
    with Index.open(path) as index:
        between_two_renames(path / "bm25")
        index.add([Document("b", "text b")])
        assert found(index) == ["a", "b"]
        assert index.verify() == []


def between_two_renames(folder: Path) -> None:
    """Leave the folder as a rebuild does that is killed between its two renames."""
    shutil.copytree(folder, folder.with_name(f"{folder.name}.new"))
    folder.rename(folder.with_name(f"{folder.name}.old"))


def test_a_writer_that_could_not_read_the_manifest_gives_the_lock_back(path: Path) -> None:
    manifest = path / "manifest.json"
    content = manifest.read_bytes()
    with Index.open(path) as index:
        manifest.write_bytes(b"{")
        with pytest.raises(IndexCorruptedError):
            index.add([Document("b", "text b")])
        manifest.write_bytes(content)
        with Index.open(path) as other:
            other.add([Document("c", "text c")])
        index.add([Document("d", "text d")])
        assert found(index) == ["a", "c", "d"]
        assert index.verify() == []


@pytest.mark.process
def test_threads_search_while_another_writes(tiny_encoder: Path, tmp_path: Path) -> None:
    wrong: list[object] = []
    with Index.create(tmp_path / "index", encoder=str(tiny_encoder)) as index:
        index.add([Document(f"kept {i}", "bird river") for i in range(10)])
        done = threading.Event()

        def search() -> None:
            retriever = index.retriever("hybrid")
            while not done.is_set():
                try:
                    [hits] = retriever.retrieve(["bird river"], 40)
                    if sum(hit.id.startswith("kept") for hit in hits) != 10:
                        wrong.append([hit.id for hit in hits])
                    index.stage_scores(["bird river"], [hits])
                except Exception as error:
                    wrong.append(error)
                    return

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        for i in range(6):
            index.add([Document(f"new {i}", "bird river")])
            index.delete([f"new {i - 1}"])
        index.rebuild()
        index.compact()
        done.set()
        for thread in threads:
            thread.join()
        assert index.verify() == []
    assert wrong == []


@pytest.mark.parametrize("moment", [Holder.__init__, Manifest.read, ProcessLock.release])
def test_ctrl_c_at_any_moment_of_a_write_leaves_the_index_to_the_next_writer(
    path: Path,
    interrupted_at: Callable[[object], AbstractContextManager[None]],
    moment: object,
) -> None:
    with Index.open(path, lock_timeout=0) as first, Index.open(path, lock_timeout=0) as second:
        with interrupted_at(moment), pytest.raises(KeyboardInterrupt):
            first.add([Document("b", "text b")])
        first.add([Document("c", "text c")])
        second.add([Document("d", "text d")])
        assert {"a", "c", "d"} <= set(first.ids())
        assert second.verify() == []


def test_an_index_that_is_closed_after_ctrl_c_is_free(
    path: Path, interrupted_at: Callable[[object], AbstractContextManager[None]]
) -> None:
    first = Index.open(path, lock_timeout=0)
    with interrupted_at(ProcessLock.release), pytest.raises(KeyboardInterrupt):
        first.add([Document("b", "text b")])
    first.close()
    with Index.open(path, lock_timeout=0) as second:
        assert second.add([Document("d", "text d")]) == 1
