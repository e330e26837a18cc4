"""per_query.csv: the value of every measure for every query, for comparisons of runs."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO, TypeAlias

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.results import FinishedRun
from rerank_search.files import atomic_file

NAME = "per_query.csv"

Place: TypeAlias = tuple[str, str, str, str]
"""Collection, split, system, protocol."""

PerQuery: TypeAlias = Mapping[Place, Mapping[str, Mapping[str, float]]]
"""Place to measure to query id to value."""

_KEYS = ("collection", "split", "system", "protocol", "query")


def write_per_query(path: Path, run: FinishedRun) -> None:
    """Write one row per system, protocol and query, atomically.

    There is a column for each measure, also for those of sentence-transformers' evaluator; it is
    empty if a protocol does not have the measure. Text is quoted, because an id may have any
    character. Raises StorageFullError, IndexReadOnlyError.
    """
    columns = [values for cell in run.cells for values in cell.values.values()]
    measures = list(dict.fromkeys([*run.measures, *(name for found in columns for name in found)]))
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow([*_KEYS, *measures])
        writer.writerows(_rows(run, measures))


def _rows(run: FinishedRun, measures: Sequence[str]) -> Iterator[list[object]]:
    for cell in run.cells:
        for protocol, values in cell.values.items():
            place = [cell.collection, cell.split, cell.system.name, protocol]
            for number, query in enumerate(cell.queries):
                row = (values[name][number] if name in values else "" for name in measures)
                yield [*place, query, *row]


def read_per_query(path: Path) -> PerQuery:
    """The values that ``write_per_query`` wrote.

    Raises InvalidInputError if there is no such file, or with the line if a row cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return _read(file, path)
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be read ({error.strerror}), and a comparison needs the values of each "
            "query: keep per_query.csv beside its report.json"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{path} is not CSV in UTF-8 ({error}): evaluate again") from None


def _read(file: TextIO, path: Path) -> PerQuery:
    reader = csv.reader(file)
    header = next(reader, [])
    if tuple(header[: len(_KEYS)]) != _KEYS:
        raise InvalidInputError(
            f"{path}, line 1: the columns are {', '.join(header) or 'missing'}, but should begin "
            f"with {', '.join(_KEYS)}: evaluate again"
        )
    measures = header[len(_KEYS) :]
    found: dict[Place, dict[str, dict[str, float]]] = {}
    for row in reader:
        if len(row) != len(header):
            raise InvalidInputError(
                f"{path}, line {reader.line_num}: {len(row)} columns, but {len(header)} in the "
                "header: evaluate again"
            )
        collection, split, system, protocol, query, *values = row
        of_place = found.setdefault((collection, split, system, protocol), {})
        for measure, value in zip(measures, values, strict=True):
            if value:
                of_place.setdefault(measure, {})[query] = _number(value, path, reader.line_num)
    return found


def _number(value: str, path: Path, line: int) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInputError(f"{path}, line {line}: {value!r} is not a number: evaluate again")
    return number
