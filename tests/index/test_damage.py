"""Errors of damaged, foreign, full or unwritable indexes, and their repair."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rerank_search.errors import (
    IndexCorruptedError,
    IndexFormatError,
    IndexMismatchError,
    IndexNotFoundError,
    IndexReadOnlyError,
    ModelNotFoundError,
)
from rerank_search.index import Index
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.passages import whole
from rerank_search.storage.records import checked
from rerank_search.types import Document

DOCUMENTS = [Document(str(i), f"bird number{i} on the river") for i in range(30)]


@pytest.fixture(scope="module")
def made(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "index"
    with Index.create(path, encoder=str(tiny_encoder)) as index:
        index.add(DOCUMENTS)
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """An index with two stages that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "index"))


def some(path: Path, pattern: str) -> Path:
    return max(path.glob(pattern), key=lambda file: file.stat().st_size)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    path.write_bytes(random.Random(5).randbytes(path.stat().st_size))


@pytest.mark.parametrize(
    "pattern",
    [
        "bm25/state.json",
        "bm25/meta.json",
        "bm25/*.term",
        "dense/state.json",
        "dense/ids-*.npy",
        "dense/vectors-*.npy",
    ],
)
@pytest.mark.parametrize("damage", [truncate, overwrite, Path.unlink])
def test_a_damaged_structure_is_reported_and_rebuilt(
    path: Path, pattern: str, damage: Callable[[Path], None]
) -> None:
    damage(some(path, pattern))
    try:
        with Index.open(path) as index:
            problems = index.verify()
    except IndexCorruptedError as error:
        problems = [str(error)]
    assert any(pattern.split("/")[0] in problem for problem in problems)
    assert any("rebuild" in problem for problem in problems)
    with Index.open(path, for_repair=True) as index:
        assert index.verify()
        index.rebuild()
        assert index.verify() == []
        [hits] = index.retriever("hybrid").retrieve(["number7"], 1)
        assert hits[0].id == "7"
    with Index.open(path) as index:
        assert len(index) == len(DOCUMENTS)


@pytest.mark.parametrize("stage", ["bm25", "dense"])
def test_a_missing_structure_is_reported_and_rebuilt(path: Path, stage: str) -> None:
    shutil.rmtree(path / stage)
    with pytest.raises(IndexCorruptedError, match=f"{stage}.*rebuild"):
        Index.open(path)
    with Index.open(path, for_repair=True) as index:
        with pytest.raises(IndexCorruptedError):
            index.add([Document("x", "text")])
        with pytest.raises(IndexCorruptedError):
            index.retriever(stage).retrieve(["bird"], 1)
        index.rebuild()
        assert index.verify() == []


def test_one_flipped_byte_of_a_vector_is_noticed(path: Path) -> None:
    file = some(path, "dense/vectors-*.npy")
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    with Index.open(path) as index:
        assert any(file.name in problem for problem in index.verify())


@pytest.mark.parametrize("damage", [truncate, overwrite, Path.unlink])
def test_damaged_documents_are_told_and_never_replaced_by_none(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path / "documents.sqlite")
    try:
        with Index.open(path) as index:
            problems = index.verify()
    except IndexCorruptedError as error:
        problems = [str(error)]
    assert any("documents.sqlite" in problem for problem in problems)


def test_an_older_copy_of_the_documents_is_told(path: Path) -> None:
    older = (path / "documents.sqlite").read_bytes()
    with Index.open(path) as index:
        index.add([Document("new", "text")])
    (path / "documents.sqlite").write_bytes(older)
    with pytest.raises(IndexCorruptedError, match="older copy"):
        Index.open(path)
    with Index.open(path, for_repair=True) as index:
        index.rebuild()
        assert index.verify() == []


def test_a_damaged_manifest_is_told(path: Path) -> None:
    truncate(path / "manifest.json")
    with pytest.raises(IndexCorruptedError, match=r"manifest\.json"):
        Index.open(path)


def test_no_index_is_told(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError, match=r"Index\.create"):
        Index.open(tmp_path / "missing")


def test_an_index_of_a_newer_format_is_told(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))
    with pytest.raises(IndexFormatError, match="99"):
        Index.open(path)


def test_the_same_encoder_in_another_folder_is_the_same(
    path: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(tiny_encoder, tmp_path / "moved")
    with Index.open(path, encoder=str(moved)) as index:
        assert index.retriever("dense").retrieve(["number7"], 30)[0]
        assert index.verify() == []


def other_encoder(tiny_encoder: Path, folder: Path) -> Path:
    """The tiny encoder with other weights."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    other = Path(shutil.copytree(tiny_encoder, folder / "other"))
    [weights] = other.rglob("model.safetensors")
    random = np.random.default_rng(3)
    changed = {
        name: (value + random.normal(size=value.shape)).astype(value.dtype)
        for name, value in load_file(weights).items()
    }
    save_file(changed, weights, metadata={"format": "pt"})
    return other


def test_another_encoder_is_refused(path: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    other = other_encoder(tiny_encoder, tmp_path)
    with pytest.raises(IndexMismatchError, match="other vectors"):
        Index.open(path, encoder=str(other))
    with Index.create(tmp_path / "words", encoder=None):
        pass
    with pytest.raises(IndexMismatchError, match="without an encoder"):
        Index.open(tmp_path / "words", encoder=str(other))


def test_an_encoder_that_was_exchanged_is_a_problem(
    path: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    other = other_encoder(tiny_encoder, tmp_path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["encoder"]["name"] = str(other)
    (path / "manifest.json").write_text(json.dumps(manifest))
    with Index.open(path) as index:
        assert any("other vectors" in problem for problem in index.verify())


def test_a_missing_encoder_is_told_where_it_is_needed(path: Path, tmp_path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["encoder"]["name"] = str(tmp_path / "gone")
    (path / "manifest.json").write_text(json.dumps(manifest))
    with Index.open(path) as index:
        assert index.retriever("bm25").retrieve(["number7"], 1)[0][0].id == "7"
        with pytest.raises(ModelNotFoundError, match="gone"):
            index.retriever("dense").retrieve(["number7"], 1)
        assert any("gone" in problem for problem in index.verify())


def test_what_a_crash_left_undone_is_done_when_the_index_is_opened(path: Path) -> None:
    store = DocumentStore(path / "documents.sqlite")
    store.put([checked(Document("late", "a violin"), 0)], whole)
    store.delete(["7"])
    store.close()
    with Index.open(path) as index:
        for stage in ("bm25", "dense"):
            hits = index.retriever(stage).retrieve(["bird violin"], 50)[0]
            assert {"late"} <= {hit.id for hit in hits}
            assert "7" not in {hit.id for hit in hits}
        assert index.verify() == []


def test_a_reader_serves_what_is_published_before_a_crash_is_mended(path: Path) -> None:
    store = DocumentStore(path / "documents.sqlite")
    store.put([checked(Document("late", "a violin"), 0)], whole)
    store.close()
    with Index.open(path, read_only=True) as index:
        assert index.retriever("bm25").retrieve(["violin"], 5) == [[]]
        assert index.retriever("bm25").retrieve(["number7"], 5)[0][0].id == "7"
        assert any("change" in problem for problem in index.verify())


def test_a_killed_rebuild_is_taken_back(path: Path) -> None:
    (path / "dense").rename(path / "dense.old")
    with Index.open(path) as index:
        assert index.verify() == []


def test_an_index_open_for_reading_refuses_every_change(path: Path) -> None:
    with Index.open(path, read_only=True) as index:
        changes: list[Callable[[], object]] = [
            lambda: index.add([Document("x", "text")]),
            lambda: index.delete(["7"]),
            index.rebuild,
            index.compact,
        ]
        for change in changes:
            with pytest.raises(IndexReadOnlyError, match="read_only=False"):
                change()
        assert index.retriever("hybrid").retrieve(["number7"], 1)[0][0].id == "7"
        assert index.verify() == []


UNPRIVILEGED = """
import os, sys
from rerank_search.errors import IndexReadOnlyError, IndexExistsError
from rerank_search.index import Index
from rerank_search.types import Document
import rerank_search.retrieval.bm25, tantivy
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
with Index.open(sys.argv[1]) as index:
    assert [hit.id for hit in index.retriever("bm25").retrieve(["number7"], 1)[0]] == ["7"]
    assert len(index) == 30
    assert index.verify() == [], index.verify()
    try:
        index.add([Document("x", "text")])
    except IndexReadOnlyError as error:
        print("refused:", error)
try:
    Index.create(sys.argv[1] + "/inside/it", encoder=None)
except IndexReadOnlyError as error:
    print("refused:", error)
"""


@pytest.fixture
def in_the_open() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's are not."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        for name, _, _ in os.walk(folder):
            Path(name).chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
@pytest.mark.parametrize("killed", [False, True])
def test_a_directory_that_cannot_be_written_is_searched(in_the_open: Path, killed: bool) -> None:
    path = in_the_open / "index"
    with Index.create(path, encoder=None) as index:
        index.add(DOCUMENTS)
        # A copy of an open index, with its write-ahead log, is like the files of a killed writer.
        copy = shutil.copytree(path, in_the_open / "copy") if killed else path
    for entry in [copy, *copy.rglob("*")]:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    run = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, str(copy)], capture_output=True, text=True, timeout=120
    )
    if "Permission denied" in run.stderr and "site-packages" in run.stderr:
        pytest.skip("an unprivileged user cannot read this Python installation")
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("refused:") == 2
    assert "no permission to write to this folder" in run.stdout
    assert "read_only" not in run.stdout


FILLING = """
import sys
from rerank_search.errors import StorageFullError
from rerank_search.index import Index
from rerank_search.types import Document
limit = int(sys.argv[2])
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
acknowledged = 0
with Index.open(sys.argv[1]) as index:
    try:
        while acknowledged < 100_000:
            ids = range(acknowledged, acknowledged + 200)
            index.add(Document(f"new {i}", f"number{i} " + "filler " * 40) for i in ids)
            acknowledged += 200
    except StorageFullError as error:
        print(acknowledged, type(error).__name__)
    assert "7" in index and len(index) >= 30 + acknowledged
"""


def fill(path: Path, limit: int) -> int:
    """Add documents in a child until the disk is full; how many were acknowledged."""
    run = subprocess.run(
        [sys.executable, "-c", FILLING, str(path), str(limit)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    acknowledged, error = run.stdout.split()
    assert error == "StorageFullError"
    return int(acknowledged)


def check_filled(path: Path, acknowledged: int) -> None:
    with Index.open(path) as index:
        assert all(f"new {i}" in index for i in range(acknowledged))
        assert index.add([Document("after", "a violin")]) == 1
        assert index.retriever("bm25").retrieve(["violin"], 2)[0][0].id == "after"
        assert index.verify() == []


def small_index(path: Path) -> None:
    with Index.create(path, encoder=None) as index:
        index.add(DOCUMENTS)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
def test_nothing_is_lost_at_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    small_index(tmp_path / "index")
    check_filled(tmp_path / "index", fill(tmp_path / "index", 1_000_000))


@pytest.mark.slow
def test_nothing_is_lost_on_a_full_disk(small_disk: Callable[[int], Path]) -> None:
    index = small_disk(4_000) / "index"
    small_index(index)
    acknowledged = fill(index, 0)
    # Growing the disk stands for deleting other files.
    small_disk(64_000)
    check_filled(index, acknowledged)
