"""The rows for each loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

from rerank_search.training.data.groups import POSITIVE_ABOVE, Group, TrainingSet
from rerank_search.training.recipe.losses import LOSSES, Layout, Loss, LossName


def rows(training_set: TrainingSet, loss: LossName) -> dict[str, list[Any]]:
    """Columns of equal length, as sentence-transformers' class for the loss expects them.

    By the layout of the loss:

    - pairs: query, document and label, a row for each pair.
    - lists: query, documents and labels, best label first (list-mle takes this order as correct).
    - shares: the same, with the logarithm of each document's share in the sum of the labels. A
    softmax turns these back into the shares.
    - positives: query, positive, and as many negatives as every query has; a row for each
      positive. Further positives of a query get further negatives.
    - margins: query, the document with the highest label, one of the others, and the difference
      of their labels; a row for each of the others.

    Groups from which the loss learns nothing are left out.
    """
    groups = [group for group in training_set.groups if teaches(group, loss)]
    return _ROWS[LOSSES[loss].layout](groups)


def teaches(group: Group, loss: LossName) -> bool:
    """Whether the loss learns from the group: a loss that compares documents needs two labels."""
    layout = LOSSES[loss].layout
    if layout == "pairs":
        return bool(group.documents)
    if layout == "positives":
        return any(label > POSITIVE_ABOVE for label in group.labels)
    return len(set(group.labels)) > 1


def common_negatives(groups: Sequence[Group]) -> int:
    """Number of documents that are not positive in the group with the fewest of them."""
    return min((len(_split(group)[1]) for group in groups), default=0)


def pairs_scored(training_set: TrainingSet, loss: Loss) -> int:
    """Number of pairs that go through the model in one pass over the rows."""
    columns = rows(training_set, loss.name)
    if loss.traits.is_listwise:
        return sum(map(len, columns["documents"]))
    in_batch = 0
    if loss.traits.layout == "positives":
        in_batch = loss.options.get("num_negatives") or 4
    texts = len(columns.keys() - {"query", "label"})
    return len(columns["query"]) * (texts + in_batch)


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


def _list_rows(groups: Sequence[Group], *, shares: bool = False) -> dict[str, list[Any]]:
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


_ROWS: dict[Layout, Callable[[Sequence[Group]], dict[str, list[Any]]]] = {
    "pairs": _pair_rows,
    "lists": _list_rows,
    "shares": partial(_list_rows, shares=True),
    "positives": _tuple_rows,
    "margins": _margin_rows,
}
