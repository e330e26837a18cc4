"""Training data from files of labelled pairs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from rerank_search.declared import did_you_mean
from rerank_search.errors import InvalidInputError
from rerank_search.judged.formats.pairs import (
    PairRow,
    file_of_pairs,
    label_number,
    pair_rows,
)
from rerank_search.training.data.groups import Group, TrainingSet, training_set_of
from rerank_search.training.recipe.sources import Source
from rerank_search.types import JsonValue

_Label: TypeAlias = float | str


def load_pairs_set(source: Source, seed: int) -> TrainingSet:
    """Labelled pairs in the layouts and formats of the evaluation, grouped by their first text.

    Labels are finite numbers, or any values that ``label_map`` maps to numbers; keys that are
    numbers are compared as numbers. Groups are in the order of their first pairs.

    Raises InvalidInputError with file, line and reason, for a label without a number, and for an
    unused entry of ``label_map``.
    """
    file, rows, labels = labelled_rows(source)
    members: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        members.setdefault(row.texts[0], []).append(i)
    groups = [
        Group(
            query,
            [rows[i].texts[1] for i in places],
            [labels[i] for i in places],
            [rows[i].place for i in places],
        )
        for query, places in members.items()
    ]
    training_set = training_set_of(source, file, groups, seed)
    return replace(training_set, as_in_file=not source.label_map)


def labelled_rows(source: Source) -> tuple[Path, list[PairRow], list[float]]:
    """The file of labelled pairs, its rows, and their labels as numbers.

    Raises as ``load_pairs_set`` does.
    """
    file = file_of_pairs(source.path, source.split)
    rows = list(pair_rows(file))
    return file, rows, _labels(file, rows, source.label_map)


def _labels(file: Path, rows: Sequence[PairRow], label_map: Mapping[str, float]) -> list[float]:
    found = [_comparable(row.label) for row in rows]
    seen = sorted(set(found), key=lambda label: (isinstance(label, str), label))
    known: Mapping[_Label, float] = (
        _entries(file, label_map, seen)
        if label_map
        else {label: label for label in seen if isinstance(label, float)}
    )
    for row, label in zip(rows, found, strict=True):
        if label not in known:
            reason = "has no entry in label_map" if label_map else "is not a finite number"
            raise InvalidInputError(
                f"{file}, {row.place}: the label {_shown([label])} {reason}; the labels of this "
                f"file are {_shown(seen)}: set label_map to a number for each of them"
            )
    return [known[label] for label in found]


def _entries(
    file: Path, label_map: Mapping[str, float], seen: Sequence[_Label]
) -> dict[_Label, float]:
    entries: dict[_Label, float] = {}
    for name, value in label_map.items():
        label = _comparable(name)
        if label in entries:
            raise InvalidInputError(f"label_map names the label {name!r} twice: remove one entry")
        if label not in seen:
            suggestion = did_you_mean(name, [str(label) for label in seen])
            raise InvalidInputError(
                f"label_map has an entry for {name!r}, but {file} has only the labels "
                f"{_shown(seen)}: remove the entry{suggestion}"
            )
        if not math.isfinite(value):
            raise InvalidInputError(f"label_map: {name!r} is {value}: give a finite number")
        entries[label] = value
    return entries


def _comparable(label: JsonValue) -> _Label:
    """The label as a number if it is one, however it is written; else its text."""
    number = label_number(label)
    if number is not None and math.isfinite(number):
        return number
    return label if isinstance(label, str) else json.dumps(label)


def _shown(labels: Sequence[_Label]) -> str:
    shown = [f"{each:g}" if isinstance(each, float) else f"{each!r:.40}" for each in labels[:10]]
    more = f" and {len(labels) - 10:,} more" if len(labels) > 10 else ""
    return ", ".join(shown) + more
