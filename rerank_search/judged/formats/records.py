"""JSONL files of records: objects with texts in named fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from rerank_search.corpora.json_objects import json_object
from rerank_search.errors import InvalidDocumentError, InvalidInputError
from rerank_search.judged.formats.lines import numbered_lines
from rerank_search.queries import check_text
from rerank_search.types import JsonValue

Record: TypeAlias = Mapping[str, JsonValue]


def json_records(path: Path) -> Iterator[tuple[int, Record]]:
    """The objects of a JSONL file, plain or gzipped, with the numbers of their lines; streamed.

    Raises InvalidInputError with file, line and reason for a line that is not a JSON object.
    """
    for number, line in numbered_lines(path):
        try:
            yield number, json_object(line)
        except InvalidDocumentError as error:
            raise InvalidInputError(f"{path}, line {number}: {error}") from error


def text_in(record: Record, field: str, where: str) -> str:
    """A field that is a text. Raises InvalidInputError; ``where`` is file and line."""
    if field not in record:
        raise InvalidInputError(
            f"{where}: no {field!r}; the fields are {', '.join(map(repr, record)) or 'none'}"
        )
    return checked_text(record[field], field, where)


def texts_in(record: Record, field: str, where: str) -> list[str]:
    """A field that is a list of texts. Raises InvalidInputError; ``where`` is file and line."""
    value = record[field]
    if not isinstance(value, list):
        raise InvalidInputError(f"{where}: {field!r} is not a list of texts: {value!r:.60}")
    return [checked_text(text, f"{field}[{i}]", where) for i, text in enumerate(value)]


def checked_text(value: object, field: str, where: str) -> str:
    """``value``, if it is a text that UTF-8 can encode. Raises InvalidInputError."""
    check_text(value, f"{where}: {field!r}")
    return str(value)
