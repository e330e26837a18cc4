"""Rows of Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rerank_search.errors import InvalidInputError, MissingDependencyError
from rerank_search.types import JsonValue

ROWS_AT_ONCE = 1_000


def parquet_rows(path: Path, *, arrays: str | None = None) -> Iterator[dict[str, JsonValue]]:
    """The rows of a file, each as its cells by their columns; streamed.

    A list in the column ``arrays`` is a NumPy array. Raises InvalidInputError for a file that
    cannot be read, and MissingDependencyError without pyarrow.
    """
    with _opened(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
            if arrays is None or arrays not in batch.schema.names:
                yield from batch.to_pylist()
                continue
            if len(set(batch.schema.names)) < len(batch.schema.names):
                raise InvalidInputError(
                    f"{path} has two columns of one name ({', '.join(batch.schema.names)}): rename "
                    "one of them"
                )
            others = batch.select([name for name in batch.schema.names if name != arrays])
            for row, cell in zip(others.to_pylist(), batch.column(arrays), strict=True):
                yield {**row, arrays: _array(cell)}


def count_rows(path: Path) -> int:
    """The number of rows, which the file states. Raises what ``parquet_rows`` raises."""
    with _opened(path) as file:
        count: int = file.metadata.num_rows
        return count


def _array(cell: Any) -> Any:
    """The list in a cell as an array; any other value as it is."""
    values = getattr(cell, "values", None)
    if values is None or callable(values) or values.null_count:  # a struct has a method values
        return cell.as_py()
    return values.to_numpy(zero_copy_only=False)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: reading Parquet needs pyarrow: pip install 'rerank-search[eval]'"
        ) from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (OSError, pyarrow.ArrowException) as error:
        raise InvalidInputError(f"{path} cannot be read as Parquet ({error})") from error
