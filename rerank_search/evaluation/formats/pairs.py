"""Labelled pairs of texts: JSONL, CSV, TSV and Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rerank_search.declared import did_you_mean
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.collection import Finding, LabelledPairs
from rerank_search.evaluation.formats.lines import Tally, bare_name, findings
from rerank_search.evaluation.formats.records import checked_text
from rerank_search.evaluation.formats.tables import SUFFIXES, Row, table_rows
from rerank_search.types import JsonValue

TEXT_COLUMNS = (("text1", "text2"), ("sentence_0", "sentence_1"), ("sentence1", "sentence2"))
"""What the columns of the two texts are called; the third is ``label``."""


def load_pairs(path: Path, split: str) -> LabelledPairs:
    """The pairs of one file, or of ``split`` in a folder of files; a file is its own split.

    The columns are ``text1, text2, label``, ``sentence_0, sentence_1, label`` or ``sentence1,
    sentence2, label``; further ones are ignored. Labels are 0 and 1, as numbers or as text.
    Parquet is read by pyarrow.

    Raises InvalidInputError with file, line (of Parquet the row) and reason, for a split that is
    not there with those that are, and MissingDependencyError without pyarrow.
    """
    file = _file_of(path, split) if path.is_dir() else path
    rows = list(table_rows(file))
    if not rows:
        raise InvalidInputError(f"{file} has no pairs: give the whole file")
    columns = text_columns(rows[0].cells)
    if columns is None:
        raise InvalidInputError(f"{file}, {rows[0].place}: {layout_problem(rows[0].cells)}")
    pairs = [_pair(row, columns, f"{file}, {row.place}") for row in rows]
    labels = [_label(row.cells.get("label")) for row in rows]
    if None in labels:
        raise InvalidInputError(_label_problem(file, rows, labels))
    known = [label for label in labels if label is not None]
    return LabelledPairs(
        name=file.resolve().parent.name,
        split=bare_name(file),
        pairs=pairs,
        labels=known,
        findings=_findings(file, rows, pairs, known),
    )


def files_of_pairs(folder: Path) -> list[Path]:
    """The files of a folder that may be pairs, in alphabetical order; each is a split."""
    return sorted(file for file in folder.iterdir() if file.name.lower().endswith(SUFFIXES))


def text_columns(names: Iterable[str]) -> tuple[str, str] | None:
    """The columns of the two texts, or None where these are not the columns of pairs."""
    names = set(names)
    layouts = (columns for columns in TEXT_COLUMNS if {*columns, "label"} <= names)
    return next(layouts, None)


def layout_problem(names: Iterable[str]) -> str:
    """What to say of columns that are not those of pairs."""
    layouts = "; ".join(", ".join((*columns, "label")) for columns in TEXT_COLUMNS)
    return f"the columns are {', '.join(names)}, and those of pairs {layouts}: rename them"


def _file_of(folder: Path, split: str) -> Path:
    files = {bare_name(file): file for file in files_of_pairs(folder)}
    if not files:
        raise InvalidInputError(f"{folder} has no file of pairs: {', '.join(SUFFIXES)}")
    if split not in files:
        raise InvalidInputError(
            f"{folder} has no split {split!r}: it has {', '.join(files)}"
            f"{did_you_mean(split, list(files))}"
        )
    return files[split]


def _pair(row: Row, columns: tuple[str, str], where: str) -> tuple[str, str]:
    for name in (*columns, "label"):
        if name not in row.cells:
            raise InvalidInputError(
                f"{where}: no {name!r}; the fields are {', '.join(map(repr, row.cells))}"
            )
    first, second = (checked_text(row.cells[name], name, where) for name in columns)
    return first, second


def _label(value: JsonValue) -> int | None:
    number = _number(value)
    return int(number) if number in (0.0, 1.0) else None


def _number(value: JsonValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _label_problem(file: Path, rows: Sequence[Row], labels: Sequence[int | None]) -> str:
    wrong = [row for row, label in zip(rows, labels, strict=True) if label is None]
    value = wrong[0].cells["label"]
    numbers = [number for row in rows if (number := _number(row.cells["label"])) is not None]
    span = f", the labels go from {min(numbers):g} to {max(numbers):g}" if numbers else ""
    return (
        f"{file}, {wrong[0].place}: the label {value!r} is not 0 or 1 ({len(wrong):,} such "
        f"rows{span}): write 1 for pairs that belong together and 0 for the others"
    )


def _findings(
    file: Path, rows: Sequence[Row], pairs: Sequence[tuple[str, str]], labels: Sequence[int]
) -> list[Finding]:
    repeated = Tally("pairs repeated with the same label, counted each time")
    contradicted = Tally("pairs repeated with the other label, counted each time")
    blank = Tally("pairs with a blank text")
    one_class = Tally(f"pairs, all of them with the label {labels[0]}")
    alike = len(set(labels)) == 1
    seen: dict[tuple[str, str], int] = {}
    for row, pair, label in zip(rows, pairs, labels, strict=True):
        where = f"{file.name}, {row.place}"
        if pair in seen:
            (repeated if seen[pair] == label else contradicted).add(where)
        seen.setdefault(pair, label)
        if not all(text.strip() for text in pair):
            blank.add(where)
        if alike:
            one_class.add(where)
    return findings([repeated, contradicted, blank, one_class])
