"""Arrays in ``.npy`` files of an engine, written durably and read through memory maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rerank_search.files import disk_errors, fsync_directory, synced_file
from rerank_search.retrieval.state import StateFile, reading
from rerank_search.types import JsonValue


def publish_arrays(state: StateFile, content: dict[str, JsonValue], files: Set[str]) -> None:
    """Publish a state that uses these files, and delete every other array and graph beside it."""
    directory = state.path.parent
    with disk_errors(directory):
        fsync_directory(directory)
    state.publish(content)
    for pattern in ("*.npy", "*.faiss"):
        for file in directory.glob(pattern):
            if file.name not in files:
                file.unlink(missing_ok=True)


def sorted_ids(directory: Path, name: str | None) -> NDArray[np.int64]:
    """The passage ids in a file; none without a file."""
    return np.empty(0, np.int64) if name is None else np.array(load_array(directory / name))


def load_array(path: Path) -> NDArray[Any]:
    """A memory map of the array. Raises IndexCorruptedError for a damaged file."""
    with reading(path):
        loaded: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return loaded


def write_array(path: Path, parts: Sequence[NDArray[Any]]) -> None:
    """Write arrays one below the other into one file."""
    shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
    write_parts(path, parts, shape, parts[0].dtype)


def write_parts(
    path: Path, parts: Iterable[NDArray[Any]], shape: tuple[int, ...], dtype: DTypeLike
) -> None:
    """Write arrays one below the other, as they come, into one file of that shape.

    A file is used instead of a memory map, which would end the process on a full disk.
    """
    with synced_file(path) as file:
        np.lib.format.write_array_header_1_0(
            file,
            {
                "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
                "fortran_order": False,
                "shape": shape,
            },
        )
        for part in parts:
            file.write(np.ascontiguousarray(part).data)
