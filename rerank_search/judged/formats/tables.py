"""Files of rows with named columns: JSONL, CSV, TSV and Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rerank_search.corpora.parquet import parquet_rows
from rerank_search.corpora.separated import (
    Separated,
    UnclosedQuoteError,
    quoting_hint,
    separated_rows,
)
from rerank_search.corpora.streams import opened
from rerank_search.errors import InvalidInputError
from rerank_search.judged.formats.records import json_records
from rerank_search.shown import counted
from rerank_search.types import JsonValue

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
"""Endings of the names of such files."""


@dataclass(frozen=True, slots=True)
class Row:
    """Column to value, and the place in the file: ``line 3``, or ``row 3`` of Parquet.

    ``header`` is the place where the columns are named, the same one for JSONL and Parquet.
    """

    place: str
    header: str
    cells: Mapping[str, JsonValue]


def table_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, streamed; cells of CSV (quoted or not) and TSV (never) are text.

    Raises InvalidInputError with file, line and reason for a name with another ending or a
    malformed line, and MissingDependencyError for Parquet without pyarrow.
    """
    name = path.name.lower()
    if name.endswith((".jsonl", ".jsonl.gz")):
        for line, record in json_records(path):
            yield Row(f"line {line}", f"line {line}", record)
    elif name.endswith((".csv", ".csv.gz")):
        yield from _separated(path, "csv")
    elif name.endswith((".tsv", ".tsv.gz")):
        yield from _separated(path, "tsv")
    elif name.endswith(".parquet"):
        for number, record in enumerate(parquet_rows(path), start=1):
            yield Row(f"row {number}", f"row {number}", record)
    else:
        raise InvalidInputError(
            f"{path}: the name does not show the format: rename the file to end in "
            f"{', '.join(SUFFIXES)}"
        )


def _separated(path: Path, format: Separated) -> Iterator[Row]:
    header: Sequence[str] | None = None
    named, last = "", 0
    with opened(path) as stream:
        try:
            for last, row in separated_rows(stream, format, errors="strict"):
                place = f"line {last}"
                if isinstance(row, str):
                    raise InvalidInputError(f"{path}, {place}: {row}")
                if header is None:
                    named, header = place, _checked_header(row, f"{path}, {place}")
                elif len(row) != len(header):
                    raise InvalidInputError(
                        f"{path}, {place}: {counted(len(row), 'cell')}, but {len(header)} in the "
                        f"header ({named}){quoting_hint(format, row)}"
                    )
                else:
                    yield Row(place, named, dict(zip(header, row, strict=True)))
        except UnclosedQuoteError as error:
            raise InvalidInputError(f"{path}, {error}") from error
        except UnicodeDecodeError as error:
            raise InvalidInputError(
                f"{path}, after line {last}: cannot be read ({error}): write it as UTF-8"
            ) from error


def _checked_header(header: list[str], where: str) -> list[str]:
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise InvalidInputError(
            f"{where}: the header ({', '.join(header)}) names {repeated[0]!r} twice: rename one "
            "of the two"
        )
    return header
