"""Reading files of documents: JSONL, CSV, TSV and Parquet, one document at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from rerank_search.corpora.file_formats import Format, format_of_name
from rerank_search.corpora.lines import (
    VectorColumn,
    document_of,
    document_of_json,
    document_of_row,
)
from rerank_search.corpora.parquet import count_rows, parquet_rows
from rerank_search.corpora.separated import (
    Separated,
    UnclosedQuoteError,
    quoting_hint,
    separated_rows,
)
from rerank_search.corpora.streams import STDIN, content_lines, opened, source_name
from rerank_search.errors import InvalidDocumentError, InvalidInputError
from rerank_search.storage.records import check_vector, checked
from rerank_search.types import Document

Content = TypeVar("Content")


@dataclass(slots=True)
class SkippedLines:
    """The lines that a reader skipped: how many, and the reasons for the first ten."""

    count: int = 0
    reasons: list[str] = field(default_factory=list)

    def add(self, reason: str) -> None:
        """Count a skipped line."""
        self.count += 1
        if len(self.reasons) < 10:
            self.reasons.append(reason)


def read_documents(
    source: str | Path,
    *,
    format: Format | None = None,
    skipped: SkippedLines | None = None,
    vectors: VectorColumn | None = None,
) -> Iterator[Document]:
    """The documents of one file, streamed; memory holds one line at a time.

    ``source`` is a path, or ``-`` for the standard input. Gzip is recognised by its first
    bytes, the format by the name (``corpus.jsonl.gz``, ``.csv``, ``.tsv``; JSONL for the
    standard input); ``format`` overrides it. The text is UTF-8.

    JSONL has one object a line, with ``_id`` (BEIR) or ``id``, ``text``, and optionally ``title``
    and ``metadata``; further keys are metadata. CSV and TSV have a header with the columns ``id``
    (or ``_id``), ``text`` and optionally ``title``; other columns are metadata. A cell of CSV may
    be quoted; in TSV a quote is a normal character. A row of Parquet is as an object of JSONL, and
    a cell without a value is left out.

    ``vectors`` names the key or column with the documents' own vectors, in JSONL and Parquet.

    With ``skipped`` a malformed line is counted there and skipped; without it, it raises
    InvalidDocumentError with file, line and reason. Raises InvalidInputError for a missing file or
    an unknown format.
    """
    for line, record in numbered_documents(source, format=format, vectors=vectors):
        if isinstance(record, Document):
            yield record
        elif skipped is not None:
            skipped.add(f"{source_name(source)}, line {line}: {record}")
        else:
            raise InvalidDocumentError(
                f"{source_name(source)}, line {line}: {record}. Fix the line, or skip such lines "
                "(--skip-invalid; in Python skipped=SkippedLines())"
            )


def numbered_documents(
    source: str | Path, *, format: Format | None = None, vectors: VectorColumn | None = None
) -> Iterator[tuple[int, Document | str]]:
    """The lines of a file, or its rows, that ``read_documents`` can read, streamed.

    Each has its number, counted from 1, and its document or the reason why it has none. Raises
    InvalidInputError for a missing file, an unknown format, a header without the columns, and an
    incomplete gzip file.
    """
    chosen = format or _format_of(source)
    if chosen == "parquet":
        yield from _parquet(source, vectors)
        return
    if vectors is not None and chosen != "jsonl":
        raise InvalidInputError(
            f"{source_name(source)}: a cell of {chosen.upper()} holds no vector: use JSONL or "
            "Parquet"
        )
    with opened(source) as stream:
        if chosen == "jsonl":
            yield from json_lines(stream, vectors=vectors)
        else:
            yield from _rows(stream, chosen, source_name(source))


def count_documents(source: str | Path, *, format: Format | None = None) -> int:
    """Count the documents of a file, malformed ones included; 0 (unknown) for the standard input.

    Named pipes give 0 too, because they can be read only once. Documents are not parsed, which
    would take a fifth of the time of indexing. Raises what ``read_documents`` raises for a file
    that cannot be read.
    """
    if str(source) == STDIN or not Path(source).is_file():
        return 0
    chosen = format or _format_of(source)
    if chosen == "parquet":
        return count_rows(Path(source))
    with opened(source) as stream:
        if chosen == "csv":
            return _csv_rows(stream)
        rows = sum(bool(line.strip()) for line in stream)
    return rows if chosen == "jsonl" else max(0, rows - 1)


def _csv_rows(stream: BinaryIO) -> int:
    """The number of rows below the header. Lines may be more, since cells may have line ends."""
    rows = 0
    try:
        for _ in separated_rows(stream, "csv", errors="surrogateescape"):
            rows += 1
    except UnclosedQuoteError:
        rows += 1  # the reader of the rows reports the error
    return max(0, rows - 1)


def _format_of(source: str | Path) -> Format:
    return "jsonl" if str(source) == STDIN else format_of_name(Path(source))


def json_lines(
    lines: Iterable[bytes], *, first: int = 1, vectors: VectorColumn | None = None
) -> Iterator[tuple[int, Document | str]]:
    """Lines of JSONL, counted from ``first``: the document of each, or why it has none."""
    for number, content in content_lines(lines, first=first):
        made = partial(document_of_json, vectors=vectors)
        yield number, _document_or_reason(made, content, number, vectors)


def _parquet(
    source: str | Path, vectors: VectorColumn | None
) -> Iterator[tuple[int, Document | str]]:
    if str(source) == STDIN:
        raise InvalidInputError("Parquet cannot be read from the standard input: give a file")
    arrays = None if vectors is None else vectors.name
    for number, row in enumerate(parquet_rows(Path(source), arrays=arrays), start=1):
        record = {name: value for name, value in row.items() if value is not None}
        made = partial(document_of, vectors=vectors)
        yield number, _document_or_reason(made, record, number, vectors)


def _rows(stream: BinaryIO, format: Separated, name: str) -> Iterator[tuple[int, Document | str]]:
    header: list[str] | None = None
    # Bytes that are not UTF-8 become lone surrogates, which the check of the row rejects: so one
    # invalid row does not end the whole file.
    rows = separated_rows(stream, format, errors="surrogateescape")
    try:
        for line, row in rows:
            if isinstance(row, str):
                yield line, row
            elif header is None:
                header = _checked_header(row, name, format)
            else:
                made = _document_or_reason(partial(document_of_row, header), row, line)
                if isinstance(made, str):
                    made += quoting_hint(format, row)
                yield line, made
    except UnclosedQuoteError as error:
        raise InvalidDocumentError(f"{name}, {error}") from error


def _document_or_reason(
    made: Callable[[Content], Document],
    content: Content,
    line: int,
    vectors: VectorColumn | None = None,
) -> Document | str:
    try:
        document = made(content)
        record = checked(document, line)
        if vectors is not None:
            check_vector(record, line, vectors.dimension)
    except InvalidDocumentError as error:
        return str(error)
    return document


def _checked_header(header: list[str], file: str, format: Separated) -> list[str]:
    """The header, or InvalidInputError: without a usable one no line can be read."""
    names = ["id" if name == "_id" else name for name in header]
    missing = [name for name in ("id", "text") if name not in names]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if missing or repeated:
        problem = f"no column {missing[0]!r}" if missing else f"column {repeated[0]!r} twice"
        raise InvalidInputError(
            f"{file}: the header ({', '.join(header)}) has {problem}: the first line must name "
            "the columns id and text, optionally title, and the metadata, each "
            f"once{quoting_hint(format, header)}"
        )
    return names
