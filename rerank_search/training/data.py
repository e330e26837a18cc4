"""Training data: queries with labelled documents, and the rows that each loss wants of them."""

from __future__ import annotations

import json
import math
import random
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeAlias

from rerank_search.declared import did_you_mean
from rerank_search.errors import InvalidInputError
from rerank_search.judged.findings import Finding, Tally, findings
from rerank_search.judged.formats.lines import bare_name
from rerank_search.judged.formats.pairs import (
    PairRow,
    file_of_pairs,
    label_number,
    pair_rows,
)
from rerank_search.judged.formats.records import Record, json_records, text_in, texts_in
from rerank_search.retrieval.folding import nfkc
from rerank_search.training.recipe import LISTWISE, Loss, LossName, Source
from rerank_search.types import JsonValue

_Label: TypeAlias = float | str

POSITIVE_ABOVE = 0.5
"""Labels in [0, 1] above this say that query and document belong together."""


@dataclass(frozen=True, slots=True)
class Group:
    """A query, its documents, and a label for each.

    ``places`` says where each document stands in its file (``line 3``), for those read of one.
    """

    query: str
    documents: Sequence[str]
    labels: Sequence[float]
    places: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What one source gives. ``findings`` are what a reader should know of the data.

    ``made_up`` is how many of the groups have a made-up query; these come last. ``as_in_file``
    says that the labels are those that pairs have in their file, which a ``label_map`` can change.
    """

    name: str
    split: str
    licence: str
    groups: Sequence[Group]
    findings: Sequence[Finding] = ()
    made_up: int = 0
    as_in_file: bool = False

    def __str__(self) -> str:
        return f"{self.name}/{self.split}"


def load_pairs_set(source: Source, seed: int) -> TrainingSet:
    """Labelled pairs in the layouts and formats of the evaluation, grouped by their first text.

    Labels are finite numbers, or any values that ``label_map`` has numbers for; its keys are
    compared as numbers where they are numbers. Groups are in the order of their first pairs.

    Raises InvalidInputError with file, line and reason, for a label without a number, and for an
    entry of ``label_map`` that no pair needs.
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
    training_set = _training_set(source, file, groups, seed)
    return replace(training_set, as_in_file=not source.label_map)


def labelled_rows(source: Source) -> tuple[Path, list[PairRow], list[float]]:
    """The file of labelled pairs, its rows, and their labels as numbers.

    Raises as ``load_pairs_set`` does.
    """
    file = file_of_pairs(source.path, source.split)
    rows = list(pair_rows(file))
    return file, rows, _labels(file, rows, source.label_map)


def load_samples_set(source: Source, seed: int) -> TrainingSet:
    """Samples: ``query``, ``positive`` (a text or a list), and ``negative`` or ``documents``.

    Positives have the label 1 and the others 0, unless the sample has ``labels``: numbers for
    its positives, then for its negatives. Texts that a sample repeats count once then, and
    samples without any text are left out. A record of ``settings`` alone is no sample.

    Raises InvalidInputError with file, line and reason.
    """
    file = source.path
    if file.is_dir():
        raise InvalidInputError(f"{file} is a folder: give the JSONL file of the samples")
    nothing = Tally("samples without any text to train on, left out")
    groups = []
    for line, record in json_records(file):
        if record.keys() == {"settings"}:
            continue
        group = _sample(record, f"{file}, line {line}", f"line {line}")
        if group.documents:
            groups.append(group)
        else:
            nothing.add(f"{file.name}, line {line}")
    return _training_set(source, file, groups, seed, findings([nothing]))


def drawn(groups: Sequence[Group], queries: int | None, seed: str) -> list[Group]:
    """So many of the groups, drawn at random by ``seed``, in their own order; None takes all."""
    if queries is None or queries >= len(groups):
        return list(groups)
    return [groups[i] for i in sorted(random.Random(seed).sample(range(len(groups)), queries))]


def rows(training_set: TrainingSet, loss: LossName) -> dict[str, list[Any]]:
    """Columns of equal length as sentence-transformers' class for the loss wants them.

    - bce, mse: query, document and label, a row for each pair.
    - the listwise ones: query, documents and labels, best label first (list-mle reads the order
      as the right one). cross-entropy has the logarithms of the shares that the documents have
      in the sum of the labels, which a softmax turns into these shares again.
    - multiple-negatives: query, positive, and as many negatives as every query has; a row for
      each positive. Further positives of a query take further negatives.
    - margin-mse: query, the document with the highest label, one of the others, and the
      difference of their labels; a row for each other one.

    Groups that the loss learns nothing from are left out.
    """
    groups = [group for group in training_set.groups if teaches(group, loss)]
    if loss in LISTWISE:
        return _list_rows(groups, shares=loss == "cross-entropy")
    if loss == "multiple-negatives":
        return _tuple_rows(groups)
    if loss == "margin-mse":
        return _margin_rows(groups)
    return _pair_rows(groups)


def teaches(group: Group, loss: LossName) -> bool:
    """Whether the loss learns from the group: the ones that compare documents need two labels."""
    if loss in ("bce", "mse"):
        return bool(group.documents)
    if loss == "multiple-negatives":
        return any(label > POSITIVE_ABOVE for label in group.labels)
    return len(set(group.labels)) > 1


def common_negatives(groups: Sequence[Group]) -> int:
    """How many documents that are not positive every one of the groups has."""
    return min((len(_split(group)[1]) for group in groups), default=0)


def pairs_scored(training_set: TrainingSet, loss: Loss) -> int:
    """How many pairs go through the model in one pass over the rows."""
    columns = rows(training_set, loss.name)
    if loss.name in LISTWISE:
        return sum(map(len, columns["documents"]))
    in_batch = (loss.options.get("num_negatives") or 4) if loss.name == "multiple-negatives" else 0
    texts = len(columns.keys() - {"query", "label"})
    return len(columns["query"]) * (texts + in_batch)


def letters_and_digits(text: str) -> str:
    """The text casefolded and without white space, punctuation and symbols.

    Two texts are taken for the same where these are equal. A text of other characters alone
    stays as it is.
    """
    return nfkc(text).casefold().translate(_KEPT) or text


class _Kept(dict[int, int | None]):
    """For ``str.translate``: keeps letters, digits and the marks that are parts of letters."""

    def __missing__(self, code: int) -> int | None:
        kept = unicodedata.category(chr(code))[0] in "LNM"
        self[code] = code if kept else None
        return self[code]


_KEPT = _Kept()


def _training_set(
    source: Source, file: Path, groups: Sequence[Group], seed: int, found: Sequence[Finding] = ()
) -> TrainingSet:
    split = bare_name(file)
    kept = drawn(groups, source.queries, f"{seed}:{source.name}/{split}")
    return TrainingSet(source.name, split, source.licence, kept, found)


def _sample(record: Record, where: str, place: str) -> Group:
    others_in = [field for field in ("negative", "documents") if field in record]
    if not {"query", "positive"} <= record.keys() or len(others_in) != 1:
        raise InvalidInputError(
            f"{where}: the fields are {', '.join(record) or 'none'}, and those of a sample query, "
            "positive, and either negative or documents"
        )
    query = text_in(record, "query", where)
    if isinstance(record.get("positive"), list):
        positive = texts_in(record, "positive", where)
    else:
        positive = [text_in(record, "positive", where)]
    others = texts_in(record, others_in[0], where)
    if "negative" in record and (both := set(positive).intersection(others)):
        raise InvalidInputError(
            f"{where}: {min(both)!r:.60} is both positive and negative: keep one of the two"
        )
    if "labels" in record:
        documents = [*positive, *others]
        labels = _numbers(record, len(documents), where)
    else:
        documents = list(dict.fromkeys([*positive, *others]))
        labels = [float(text in positive) for text in documents]
    return Group(query, documents, labels, [place] * len(documents))


def _numbers(record: Record, count: int, where: str) -> list[float]:
    values = record["labels"]
    if "documents" in record or not isinstance(values, list) or len(values) != count:
        raise InvalidInputError(
            f"{where}: 'labels' is a list with one number for each positive, then for each "
            f"negative (here {count}), and goes with 'negative'"
        )
    numbers = [value for value in values if isinstance(value, (int, float))]
    if len(numbers) < count or not all(map(math.isfinite, numbers)):
        raise InvalidInputError(f"{where}: 'labels' has something that is not a finite number")
    return [float(number) for number in numbers]


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
                f"file are {_shown(seen)}: say in label_map which number each stands for"
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
                f"label_map has an entry for {name!r}, and {file} has only the labels "
                f"{_shown(seen)}: remove the entry{suggestion}"
            )
        if not math.isfinite(value):
            raise InvalidInputError(f"label_map: {name!r} is {value}; give a finite number")
        entries[label] = value
    return entries


def _comparable(label: JsonValue) -> _Label:
    """A number where the label is one, however it is written; else its text."""
    number = label_number(label)
    if number is not None and math.isfinite(number):
        return number
    return label if isinstance(label, str) else json.dumps(label)


def _shown(labels: Sequence[_Label]) -> str:
    shown = [f"{each:g}" if isinstance(each, float) else f"{each!r:.40}" for each in labels[:10]]
    more = f" and {len(labels) - 10:,} more" if len(labels) > 10 else ""
    return ", ".join(shown) + more


def _split(group: Group) -> tuple[list[str], list[str]]:
    """The positive documents, and the others."""
    labelled = list(zip(group.documents, group.labels, strict=True))
    positive = [document for document, label in labelled if label > POSITIVE_ABOVE]
    return positive, [document for document, label in labelled if label <= POSITIVE_ABOVE]


def _pair_rows(groups: Sequence[Group]) -> dict[str, list[Any]]:
    return {
        "query": [group.query for group in groups for _ in group.documents],
        "document": [document for group in groups for document in group.documents],
        "label": [float(label) for group in groups for label in group.labels],
    }


def _list_rows(groups: Sequence[Group], *, shares: bool) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"query": [], "documents": [], "labels": []}
    for group in groups:
        ranked = list(_best_first(group))
        labels = [label for _, label in ranked]
        if shares:
            total = sum(labels)
            labels = [math.log(max(label / total, 1e-9)) for label in labels]
        columns["query"].append(group.query)
        columns["documents"].append([document for document, _ in ranked])
        columns["labels"].append(labels)
    return columns


def _best_first(group: Group) -> Iterator[tuple[str, float]]:
    order = sorted(range(len(group.labels)), key=lambda i: -group.labels[i])
    return ((group.documents[i], float(group.labels[i])) for i in order)


def _tuple_rows(groups: Sequence[Group]) -> dict[str, list[Any]]:
    count = common_negatives(groups)
    names = [f"negative_{i + 1}" for i in range(count)]
    columns: dict[str, list[Any]] = {name: [] for name in ("query", "positive", *names)}
    for group in groups:
        positives, negatives = _split(group)
        supply = cycle(negatives)
        for positive in positives:
            row = (group.query, positive, *islice(supply, count))
            for column, text in zip(columns.values(), row, strict=True):
                column.append(text)
    return columns


def _margin_rows(groups: Sequence[Group]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"query": [], "positive": [], "negative": [], "label": []}
    for group in groups:
        (best, highest), *others = _best_first(group)
        for document, label in others:
            row = (group.query, best, document, highest - label)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
    return columns
