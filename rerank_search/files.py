"""Publishing of files so that a crash at any time leaves the old file or the new one, complete."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rerank_search.errors import IndexReadOnlyError, InvalidInputError, StorageFullError
from rerank_search.types import JsonValue

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_PATH = {errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


def sha256(path: Path) -> str:
    """The checksum of a file as 64 hexadecimal digits; the file is read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about ``path`` into those of this package.

    Raises StorageFullError if no space is left, IndexReadOnlyError if the directory is not
    writable, and InvalidInputError for an impossible path; any other OSError passes through.
    """
    try:
        yield
    except OSError as error:
        # numpy's tofile reports a short write without an error number.
        short_write = error.errno is None and " requested and " in str(error)
        if error.errno in _FULL or short_write:
            raise StorageFullError(
                f"no space is left on the disk for {path}: free some and repeat the call. What "
                "was acknowledged before is safe"
            ) from error
        if error.errno in _READ_ONLY:
            raise IndexReadOnlyError(
                f"{path} cannot be written ({error.strerror}): change the permissions of its "
                "folder, or choose another one"
            ) from error
        if (impossible := impossible_path(error, path)) is not None:
            raise impossible from error
        raise


def impossible_path(error: OSError, path: Path) -> InvalidInputError | None:
    """The error about a path that no file can have, if that is what the system says."""
    if error.errno not in _NO_PATH:
        return None
    return InvalidInputError(
        f"{path} cannot be used as a path ({error.strerror}): choose another one"
    )


def check_writable(folder: Path) -> None:
    """Raise the errors of making or filling the folder, as ``disk_errors`` does."""
    with disk_errors(folder):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def make_folder(folder: Path) -> None:
    """Make the folder, and those above it, unless it is there.

    Raises what ``disk_errors`` raises, and InvalidInputError where there can be no such folder.
    """
    with disk_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileNotFoundError, FileExistsError) as error:  # below /proc, or there is a file
            raise InvalidInputError(
                f"{folder} cannot be made as a folder ({error.strerror}): choose another path"
            ) from error


def fsync_directory(path: Path) -> None:
    """Make the names in the directory ``path`` durable, if the system can do that."""
    if os.name == "nt":  # Windows cannot open a directory; it makes renames durable with the file
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Make all files in and below the folder durable, with their names."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            fsync_directory(path)
        else:
            with path.open("rb+") as file:
                os.fsync(file.fileno())


@contextmanager
def synced_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file at ``path`` for writing; its content is durable after the block.

    Use it for a name that nothing refers to yet, and sync the directory before something does. The
    file is removed after an error. Raises StorageFullError, IndexReadOnlyError.
    """
    with disk_errors(path):
        try:
            with path.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; the file written there is published after the block.

    The file is synced, renamed to ``path``, and the directory synced. After an error nothing is
    published and the temporary file is removed. Raises StorageFullError, IndexReadOnlyError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        except FileNotFoundError as error:
            if error.filename != str(temporary):  # of something else in the block
                raise
            raise InvalidInputError(
                f"{path} cannot be written ({error.strerror}): choose a path in a folder that "
                "exists and in which files can be made"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        fsync_directory(path.parent)


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Replace the content of ``path`` by ``data`` durably, or leave it unchanged.

    Raises StorageFullError, IndexReadOnlyError.
    """
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_json(path: Path, value: JsonValue) -> None:
    """Replace the content of ``path`` by ``value`` as JSON durably, or leave it unchanged.

    Raises StorageFullError, IndexReadOnlyError.
    """
    text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
    atomic_write_bytes(path, text.encode("utf-8"))
