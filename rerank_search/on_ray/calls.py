"""Calls of a model in Parquet files: those that wait, and the answers to others.

A call is the unit of work that a worker does. It has the texts that the model would get together in
one process, because in float32 the last bits of a result depend on them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from rerank_search.files import atomic_file, make_folder

Answer: TypeAlias = Mapping[str, NDArray[Any]]
"""Arrays by name, each with a row for every text of the call."""

_SETTINGS = b"settings"


@dataclass(frozen=True)
class Call:
    """``columns`` of texts, all of one length, and the settings that the answer depends on."""

    columns: tuple[Sequence[str], ...]
    settings: Mapping[str, str | None]

    @cached_property
    def key(self) -> str:
        """A hash of the call, as 32 hex digits."""
        digest = hashlib.blake2b(json.dumps(dict(self.settings)).encode(), digest_size=16)
        for column in self.columns:
            digest.update(b"\n%d\n" % len(column))
            for text in column:
                encoded = text.encode("utf-8", "surrogatepass")
                digest.update(b"%d:" % len(encoded) + encoded)
        return digest.hexdigest()


class CallFolder:
    """The calls of one model. Processes on several machines may use it at a time.

    Files appear whole: a process that is killed leaves a call unanswered.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._calls, self._answers = folder / "calls", folder / "answers"

    def note(self, calls: Iterable[Call]) -> list[str]:
        """Write the calls that have no answer yet, and return their keys in order, each once.

        Raises StorageFullError, IndexReadOnlyError.
        """
        make_folder(self._calls)
        make_folder(self._answers)
        waiting: dict[str, None] = {}
        for call in calls:
            if call.key not in waiting and not self.is_answered(call.key):
                columns = {
                    f"{place}": [text.encode("utf-8", "surrogatepass") for text in column]
                    for place, column in enumerate(call.columns)
                }
                _write(self._calls / f"{call.key}.parquet", columns, call.settings)
                waiting[call.key] = None
        return list(waiting)

    def call(self, key: str) -> Call:
        """The call that was noted with that key. Raises FileNotFoundError."""
        import pyarrow.parquet as pq

        table = pq.read_table(self._calls / f"{key}.parquet", memory_map=False)
        columns = tuple(
            [text.decode("utf-8", "surrogatepass") for text in column.to_pylist()]
            for column in table.columns
        )
        return Call(columns, json.loads(table.schema.metadata[_SETTINGS]))

    def is_answered(self, key: str) -> bool:
        """Whether the call has an answer."""
        return self._answer(key).exists()

    def tried(self, key: str) -> int:
        """Count one more try to answer the call, and return the number of tries."""
        path = self._calls / f"{key}.tries"
        with path.open("ab") as file:
            file.write(b".")
        return path.stat().st_size

    def keep(self, key: str, answer: Answer) -> None:
        """Publish the answer, and forget the call."""
        import pyarrow as pa

        columns = {}
        for name, array in answer.items():
            column = pa.array(array.reshape(-1))
            if array.ndim == 2:
                column = pa.FixedSizeListArray.from_arrays(column, array.shape[1])
            columns[name] = column
        _write(self._answer(key), columns, {})
        for suffix in ("parquet", "tries"):
            (self._calls / f"{key}.{suffix}").unlink(missing_ok=True)

    def answer(self, call: Call) -> Answer | None:
        """The answer to the call; None if there is none yet."""
        import pyarrow.parquet as pq

        if not self.is_answered(call.key):
            return None
        table = pq.read_table(self._answer(call.key), memory_map=False).combine_chunks()
        return {name: _array(table.column(name)) for name in table.column_names}

    def _answer(self, key: str) -> Path:
        return self._answers / f"{key}.parquet"


def _array(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    [chunk] = column.chunks or [pa.array([], column.type)]
    if pa.types.is_fixed_size_list(chunk.type):
        flat: NDArray[Any] = chunk.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(chunk), chunk.type.list_size)
    array: NDArray[Any] = chunk.to_numpy(zero_copy_only=False)
    return array


def _write(path: Path, columns: Mapping[str, Any], settings: Mapping[str, str | None]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(columns))
    table = table.replace_schema_metadata({_SETTINGS: json.dumps(dict(settings))})
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary)
