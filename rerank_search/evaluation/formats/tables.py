"""Files of rows with named columns: JSONL, CSV, TSV and Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Literal

from rerank_search.corpora.readers import opened
from rerank_search.errors import InvalidInputError, MissingDependencyError
from rerank_search.evaluation.formats.records import json_records
from rerank_search.types import JsonValue

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
"""How the names of such files end."""


@dataclass(frozen=True, slots=True)
class Row:
    """Column to value, and where that is: ``line 3`` of its file, of Parquet ``row 3``.

    ``header`` is where its columns are named: for JSONL and Parquet the same place.
    """

    place: str
    header: str
    cells: Mapping[str, JsonValue]


def table_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, streamed; cells of CSV and TSV are text.

    Raises InvalidInputError with file, line and reason for a name with another ending and a
    malformed line, and MissingDependencyError for Parquet without pyarrow.
    """
    name = path.name.lower()
    if name.endswith((".jsonl", ".jsonl.gz")):
        for line, record in json_records(path):
            yield Row(f"line {line}", f"line {line}", record)
    elif name.endswith((".csv", ".csv.gz")):
        yield from _separated(path, ",")
    elif name.endswith((".tsv", ".tsv.gz")):
        yield from _separated(path, "\t")
    elif name.endswith(".parquet"):
        yield from _parquet(path)
    else:
        raise InvalidInputError(
            f"{path}: the name does not say the format; end it in {', '.join(SUFFIXES)}"
        )


def _separated(path: Path, delimiter: Literal[",", "\t"]) -> Iterator[Row]:
    # Python's limit of 131,072 characters a cell is for the whole process; texts may be longer.
    csv.field_size_limit(2**31 - 1)
    header: Sequence[str] | None = None
    named = ""
    with opened(path) as stream, TextIOWrapper(stream, "utf-8-sig", newline="") as text:
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            for row in rows:
                if row and header is None:
                    named = f"line {rows.line_num}"
                    header = _checked_header(row, f"{path}, {named}")
                elif row and header is not None:
                    place = f"line {rows.line_num}"
                    if len(row) != len(header):
                        raise InvalidInputError(
                            f"{path}, {place}: {len(row)} cells, where the header ({named}) "
                            f"names {len(header)}"
                        )
                    yield Row(place, named, dict(zip(header, row, strict=True)))
        except (csv.Error, UnicodeDecodeError) as error:
            raise InvalidInputError(
                f"{path}, after line {rows.line_num}: not readable ({error}); write it as UTF-8 "
                "with cells quoted as CSV does"
            ) from error


def _checked_header(header: list[str], where: str) -> list[str]:
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise InvalidInputError(
            f"{where}: the header ({', '.join(header)}) names {repeated[0]!r} twice: rename one, "
            "as each column has a name of its own"
        )
    return header


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: reading Parquet needs pyarrow: pip install 'rerank-search[eval]'"
        ) from error
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for record in batch.to_pylist():
                    number += 1
                    yield Row(f"row {number}", f"row {number}", record)
    except (OSError, pyarrow.ArrowException) as error:
        raise InvalidInputError(f"{path} is not readable as Parquet ({error})") from error
