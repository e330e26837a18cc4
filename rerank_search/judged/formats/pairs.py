"""Labelled pairs of texts: JSONL, CSV, TSV and Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rerank_search.declared import did_you_mean
from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import LabelledPairs
from rerank_search.judged.findings import Finding, Tally, findings
from rerank_search.judged.formats.lines import bare_name, only
from rerank_search.judged.formats.records import checked_text
from rerank_search.judged.formats.tables import SUFFIXES, Row, table_rows
from rerank_search.types import JsonValue

TEXT_COLUMNS = (("text1", "text2"), ("sentence_0", "sentence_1"), ("sentence1", "sentence2"))
"""Possible names of the columns of the two texts; the third column is ``label``."""


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two texts, and their label as in the file; ``place`` is the line, or the row of Parquet."""

    place: str
    texts: tuple[str, str]
    label: JsonValue


def load_pairs(path: Path, split: str) -> LabelledPairs:
    """The pairs of one file, or of ``split`` in a folder of files; a file is its own split.

    The columns are ``text1, text2, label``, ``sentence_0, sentence_1, label`` or ``sentence1,
    sentence2, label``; others are ignored. Labels are 0 and 1, as numbers or as text. Reading
    Parquet needs pyarrow.

    Raises InvalidInputError with file, line (or row of Parquet) and reason, or for an unknown split
    with the existing ones, and MissingDependencyError without pyarrow.
    """
    file = file_of_pairs(path, split)
    rows = list(pair_rows(file))
    labels = [_label(row.label) for row in rows]
    if None in labels:
        raise InvalidInputError(_label_problem(file, rows, labels))
    known = [label for label in labels if label is not None]
    return LabelledPairs(
        name=file.resolve().parent.name,
        split=bare_name(file),
        pairs=[row.texts for row in rows],
        labels=known,
        findings=_findings(file, rows, known),
    )


def pair_rows(file: Path) -> Iterator[PairRow]:
    """The pairs of a file, streamed, with any labels; otherwise raises as ``load_pairs``."""
    columns: tuple[str, str] | None = None
    for row in table_rows(file):
        columns = columns or text_columns(row.cells)
        if columns is None:
            raise InvalidInputError(f"{file}, {row.header}: {layout_problem(row.cells)}")
        yield _pair(row, columns, f"{file}, {row.place}")
    if columns is None:
        raise InvalidInputError(f"{file} has no pairs: give the complete file")


def file_of_pairs(path: Path, split: str) -> Path:
    """``path``, or if it is a folder the file of ``split`` in it.

    Raises InvalidInputError for an unknown split, and for one with more than one file.
    """
    if not path.is_dir():
        return path
    files: dict[str, list[Path]] = {}
    for file in files_of_pairs(path):
        files.setdefault(bare_name(file), []).append(file)
    if not files:
        raise InvalidInputError(
            f"{path} has no file of pairs: give a folder with files in {', '.join(SUFFIXES)}"
        )
    if split not in files:
        raise InvalidInputError(
            f"{path} has no split {split!r}: it has {', '.join(files)}"
            f"{did_you_mean(split, list(files))}"
        )
    return only(files[split], f"{path}: the split {split!r}")


def files_of_pairs(folder: Path) -> list[Path]:
    """The files of a folder that may be pairs, in alphabetical order."""
    return sorted(file for file in folder.iterdir() if file.name.lower().endswith(SUFFIXES))


def text_columns(names: Iterable[str]) -> tuple[str, str] | None:
    """The columns of the two texts; None if these are not the columns of pairs."""
    names = set(names)
    layouts = (columns for columns in TEXT_COLUMNS if {*columns, "label"} <= names)
    return next(layouts, None)


def layout_problem(names: Iterable[str]) -> str:
    """The error message about columns that are not those of pairs."""
    layouts = "; ".join(", ".join((*columns, "label")) for columns in TEXT_COLUMNS)
    return f"the columns are {', '.join(names)}, but should be {layouts}: rename them"


def label_number(value: JsonValue) -> float | None:
    """A label, which may be a number written as text, as a number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _pair(row: Row, columns: tuple[str, str], where: str) -> PairRow:
    for name in (*columns, "label"):
        if name not in row.cells:
            raise InvalidInputError(
                f"{where}: no {name!r}; the fields are {', '.join(map(repr, row.cells))}"
            )
    first, second = (checked_text(row.cells[name], name, where) for name in columns)
    return PairRow(row.place, (first, second), row.cells["label"])


def _label(value: JsonValue) -> int | None:
    number = label_number(value)
    return int(number) if number in (0.0, 1.0) else None


def _label_problem(file: Path, rows: Sequence[PairRow], labels: Sequence[int | None]) -> str:
    wrong = [row for row, label in zip(rows, labels, strict=True) if label is None]
    value = wrong[0].label
    numbers = [number for row in rows if (number := label_number(row.label)) is not None]
    span = f", the labels go from {min(numbers):g} to {max(numbers):g}" if numbers else ""
    return (
        f"{file}, {wrong[0].place}: the label {value!r} is not 0 or 1 ({len(wrong):,} such "
        f"rows{span}): write 1 for pairs that belong together and 0 for the others"
    )


def _findings(file: Path, rows: Sequence[PairRow], labels: Sequence[int]) -> list[Finding]:
    repeated = Tally("pairs repeated with the same label, counted each time")
    contradicted = Tally("pairs repeated with the other label, counted each time")
    blank = Tally("pairs with a blank text")
    one_class = Tally(f"pairs, all of them with the label {labels[0]}")
    alike = len(set(labels)) == 1
    seen: dict[tuple[str, str], int] = {}
    for row, label in zip(rows, labels, strict=True):
        pair = row.texts
        where = f"{file.name}, {row.place}"
        if pair in seen:
            (repeated if seen[pair] == label else contradicted).add(where)
        seen.setdefault(pair, label)
        if not all(text.strip() for text in pair):
            blank.add(where)
        if alike:
            one_class.add(where)
    return findings([repeated, contradicted, blank, one_class])
