"""Training data from files of samples."""

from __future__ import annotations

import math

from rerank_search.errors import InvalidInputError
from rerank_search.judged.findings import Tally, findings
from rerank_search.judged.formats.records import Record, json_records, text_in, texts_in
from rerank_search.training.data.groups import Group, TrainingSet, training_set_of
from rerank_search.training.recipe.sources import Source


def load_samples_set(source: Source, seed: int) -> TrainingSet:
    """Samples: ``query``, ``positive`` (a text or a list), and ``negative`` or ``documents``.

    Positives have the label 1 and the others 0, unless the sample has ``labels``: numbers for its
    positives, then for its negatives. Without ``labels``, texts that a sample repeats count once.
    Samples without any text are left out. A record of ``settings`` alone is not a sample.

    Raises InvalidInputError with file, line and reason.
    """
    file = source.path
    if file.is_dir():
        raise InvalidInputError(f"{file} is a folder: give a JSONL file of samples")
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
    return training_set_of(source, file, groups, seed, findings([nothing]))


def _sample(record: Record, where: str, place: str) -> Group:
    others_in = [field for field in ("negative", "documents") if field in record]
    if not {"query", "positive"} <= record.keys() or len(others_in) != 1:
        raise InvalidInputError(
            f"{where}: the fields are {', '.join(record) or 'none'}, but a sample has query, "
            "positive, and either negative or documents: rename them"
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
            f"{where}: 'labels' must be a list with one number for each positive, then for each "
            f"negative (here {count}), and needs 'negative'"
        )
    numbers = [value for value in values if isinstance(value, (int, float))]
    if len(numbers) < count or not all(map(math.isfinite, numbers)):
        raise InvalidInputError(f"{where}: 'labels' contains something that is not a finite number")
    return [float(number) for number in numbers]
