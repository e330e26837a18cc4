"""Rows of CSV and TSV, each with the line that it begins on."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from typing import BinaryIO, Literal, TypeAlias

from rerank_search.errors import InvalidDocumentError

Separated: TypeAlias = Literal["csv", "tsv"]


class UnclosedQuoteError(InvalidDocumentError):
    """A quote in a CSV file is never closed, so that the rest of the file is one cell."""


def separated_rows(
    stream: BinaryIO, format: Separated, *, errors: Literal["strict", "surrogateescape"]
) -> Iterator[tuple[int, list[str] | str]]:
    """The number of each row's first line, from 1, and its cells, or the reason for having none.

    TSV has no quoting: a quote is a normal character, and a line is a row. In CSV (RFC 4180) a
    quoted cell may contain commas, line ends and doubled quotes. Blank lines are skipped. The text
    is UTF-8; ``errors`` says what to do with other bytes.

    Raises UnicodeDecodeError if ``errors`` is "strict", and UnclosedQuoteError.
    """
    newline = "\n" if format == "tsv" else ""
    with TextIOWrapper(stream, "utf-8-sig", errors=errors, newline=newline) as text:
        yield from _lines(text) if format == "tsv" else _quoted(text)


def quoting_hint(format: Separated, row: Sequence[str]) -> str:
    """A hint for an error about a row whose cells seem to be quoted."""
    if format == "csv" or not any(cell.startswith('"') for cell in row):
        return ""
    return (
        " (TSV has no quoting, so a cell cannot contain a tab or a line end: write such texts as "
        "CSV or JSONL)"
    )


def _lines(text: TextIOWrapper) -> Iterator[tuple[int, list[str] | str]]:
    for number, line in enumerate(text, start=1):
        if content := line.removesuffix("\n").removesuffix("\r"):
            yield number, content.split("\t")


def _quoted(text: TextIOWrapper) -> Iterator[tuple[int, list[str] | str]]:
    # Python limits a cell to 131,072 characters for the whole process, and documents may be longer.
    # So use the largest value that every platform accepts.
    csv.field_size_limit(2**31 - 1)
    rows = csv.reader(text, strict=True)
    while True:
        first = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise UnclosedQuoteError(
                    f"line {first}: the row that begins here has an opening quote without a "
                    "closing one, so the rest of the file cannot be read. Add the closing quote, "
                    "or double the quotes that are part of a text"
                ) from error
            upto = f", in the row up to line {rows.line_num}" if rows.line_num > first else ""
            yield first, f"not CSV ({error}{upto})"
            continue
        if row is None:
            return
        if row:
            yield first, row
