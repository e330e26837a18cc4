import errno
import json
from pathlib import Path
from typing import BinaryIO

import pytest

from rerank_search.errors import IndexReadOnlyError, InvalidInputError, StorageFullError
from rerank_search.files import (
    atomic_file,
    atomic_write_json,
    disk_errors,
    make_folder,
    synced_file,
)


def test_json_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for value in ({"seq": 1, "name": "é"}, {"seq": 2}):
        atomic_write_json(path, value)
        assert json.loads(path.read_bytes()) == value
    assert list(tmp_path.iterdir()) == [path]


def half_written(file: BinaryIO) -> None:
    file.write(b"half")
    raise KeyError


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")
    with pytest.raises(KeyError), atomic_file(path) as temporary, temporary.open("wb") as file:
        half_written(file)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_a_new_file_removes_it(tmp_path: Path) -> None:
    with pytest.raises(KeyError), synced_file(tmp_path / "new") as file:
        half_written(file)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, which takes no files")
def test_what_cannot_be_made_is_told_with_its_path(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/new/folder")):
        with pytest.raises(InvalidInputError, match=f"{path}.*choose another"):
            make_folder(path)
    with pytest.raises(InvalidInputError, match="/proc/file cannot be written"):
        atomic_write_json(Path("/proc/file"), {})
    with pytest.raises(FileNotFoundError, match="another"), atomic_file(tmp_path / "new") as new:
        new.write_bytes((tmp_path / "another").read_bytes())


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StorageFullError),
        (errno.EROFS, IndexReadOnlyError),
        (errno.EACCES, IndexReadOnlyError),
        (errno.ENOTDIR, InvalidInputError),
        (errno.EIO, OSError),
    ],
)
def test_errors_of_the_disk_name_the_path_and_the_mend(
    number: int, expected: type[Exception]
) -> None:
    with pytest.raises(expected) as caught, disk_errors(Path("some/index")):
        raise OSError(number, "reason")
    if expected is not OSError:
        assert "some/index" in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_from_other_errors() -> None:
    full = Path("/dev/full")
    with pytest.raises(StorageFullError, match="free some"), disk_errors(full):
        full.write_bytes(b"x" * 10_000)
