"""Checks whether a model can be trained on the data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.findings import Finding, Tally, findings
from rerank_search.training.data.groups import POSITIVE_ABOVE, TrainingSet
from rerank_search.training.data.places import place_of
from rerank_search.training.data.rows import common_negatives, teaches
from rerank_search.training.recipe.losses import UNBOUNDED, Loss


def check_training(sets: Sequence[TrainingSet], loss: Loss) -> list[Finding]:
    """Findings about the data: repeated, contradictory and blank pairs, and more.

    Raises InvalidInputError if the loss has nothing to learn: for a set without pairs, labels
    outside its range, labels of only one class, and equal labels of all documents that it compares.
    """
    for each in sets:
        if not any(group.documents for group in each.groups):
            raise InvalidInputError(
                f"{each} gives no pairs to train on: choose another split, raise queries, or "
                "remove the source"
            )
        _check_range(each, loss)
    _check_classes(sets, loss)
    for each in sets:
        _check_contrast(each, loss)
    return findings([*_of_pairs(sets), *_of_groups(sets, loss)])


def _check_range(training_set: TrainingSet, loss: Loss) -> None:
    low, high = loss.traits.labels
    labels = {label for group in training_set.groups for label in group.labels}
    if low <= min(labels) and max(labels) <= high:
        return
    first = next(
        place_of(training_set, i, j)
        for i, j, label in _labelled_places(training_set)
        if not low <= label <= high
    )
    interval = f"up to {high:g}" if math.isinf(low) else f"in [{low:g}, {high:g}]"
    others = ", ".join(name for name in UNBOUNDED if name != loss.name)
    remedy = _label_map(labels) if training_set.as_in_file else ""
    raise InvalidInputError(
        f"{training_set}: the labels go from {min(labels):g} to {max(labels):g} (first outside: "
        f"{first}), and {loss.name} needs labels {interval}: {remedy}choose a loss that allows "
        f"any labels ({others})"
    )


def _label_map(labels: set[float]) -> str:
    """A suggested ``label_map`` that scales the labels to [0, 1]; empty for many labels."""
    if not 1 < len(labels) <= 10:
        return ""
    low, high = min(labels), max(labels)
    entries = [
        # A point in a bare key would make it a table.
        (f"{label:g}" if label.is_integer() else f'"{label:g}"', (label - low) / (high - low))
        for label in sorted(map(float, labels))
    ]
    shown = ", ".join(f"{key} = {round(value, 3)}" for key, value in entries)
    return f"set label_map = {{{shown}}} in its source, or "


def _check_classes(sets: Sequence[TrainingSet], loss: Loss) -> None:
    labels = {label for each in sets for group in each.groups for label in group.labels}
    if loss.traits.layout == "positives" and max(labels) > POSITIVE_ABOVE:
        return
    if len(labels) > 1 and loss.traits.layout != "positives":
        return
    count = sum(len(group.documents) for each in sets for group in each.groups)
    if max(labels) > POSITIVE_ABOVE:
        remedy = (
            "add pairs that do not belong together, labelled 0, or set loss to "
            "multiple-negatives, which uses the texts of other queries as negatives"
        )
    else:
        remedy = "add pairs that belong together, labelled 1"
    which = f"the label {min(labels):g}" if len(labels) == 1 else f"labels up to {max(labels):g}"
    raise InvalidInputError(
        f"all {count:,} training pairs have {which}, so there is nothing to learn: {remedy}"
    )


def _check_contrast(training_set: TrainingSet, loss: Loss) -> None:
    if any(teaches(group, loss.name) for group in training_set.groups):
        return
    if loss.traits.layout == "positives":
        problem = f"has no positive pair (a label above {POSITIVE_ABOVE:g})"
        remedy = "add pairs that belong together, or remove the source"
    else:
        problem = f"has no query with documents of different labels, which {loss.name} compares"
        remedy = (
            "give the queries positives and negatives, or set loss to bce or mse, which use each "
            "pair by itself"
        )
    raise InvalidInputError(f"{training_set} {problem}: {remedy}")


def _of_pairs(sets: Sequence[TrainingSet]) -> list[Tally]:
    repeated = Tally("training pairs repeated with the same label, which count each time")
    contradicted = Tally("training pairs repeated with another label, which count each time")
    blank = Tally("training pairs with a blank text")
    same = Tally("training pairs of a text with itself")
    seen: dict[tuple[str, str], float] = {}
    for each in sets:
        for i, j, label in _labelled_places(each):
            query, document = pair = (each.groups[i].query, each.groups[i].documents[j])
            if pair in seen:
                (repeated if seen[pair] == label else contradicted).add(place_of(each, i, j))
            seen.setdefault(pair, label)
            if not query.strip() or not document.strip():
                blank.add(place_of(each, i, j))
            elif query == document:
                same.add(place_of(each, i, j))
    return [repeated, contradicted, blank, same]


def _of_groups(sets: Sequence[TrainingSet], loss: Loss) -> list[Tally]:
    unused = Tally(f"training queries that {loss.name} learns nothing from, left out")
    cut = Tally(
        f"training queries with more negatives than another one, of which {loss.name} leaves some "
        "out"
    )
    for each in sets:
        used = [group for group in each.groups if teaches(group, loss.name)]
        most = common_negatives(used) if loss.traits.layout == "positives" else math.inf
        for i, group in enumerate(each.groups):
            if not teaches(group, loss.name):
                unused.add(place_of(each, i))
            elif common_negatives([group]) > most:
                cut.add(f"{place_of(each, i)}; the fewest are {most:,}")
    return [unused, cut]


def _labelled_places(training_set: TrainingSet) -> Iterator[tuple[int, int, float]]:
    """Every pair as (index of its group, index in the group, label)."""
    for i, group in enumerate(training_set.groups):
        for j, label in enumerate(group.labels):
            yield i, j, label


def check_judged(collections: Sequence[JudgedCollection]) -> None:
    """Raise InvalidInputError for collections with fewer than two queries to learn from."""
    relevant = sum(
        any(grade >= each.relevant_from for grade in grades.values())
        for each in collections
        for grades in each.qrels.values()
    )
    if relevant < 2:
        names = ", ".join(f"{each.name}/{each.split}" for each in collections)
        raise InvalidInputError(
            f"{names}: a calibration needs at least two queries with a relevant document, and "
            f"there are {relevant}: use more queries, or another split"
        )
