"""Whether a model can be trained on the data, and whether it would be measured on them too."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection, LabelledPairs
from rerank_search.judged.findings import Finding, Tally, findings
from rerank_search.training.data import (
    POSITIVE_ABOVE,
    Group,
    TrainingSet,
    common_negatives,
    letters_and_digits,
    teaches,
)
from rerank_search.training.recipe import UNBOUNDED, Leaks, Loss, LossName

DIVERGED = (
    "the training has diverged: weights or scores are not finite, and no model was written; lower "
    "learning_rate, and remove the run's checkpoints"
)

_LIMITS: dict[LossName, tuple[float, float]] = {
    "bce": (0.0, 1.0),
    "cross-entropy": (0.0, 1.0),
    "multiple-negatives": (0.0, 1.0),
    # Its gains are powers of two, which single precision has up to 2 to the 127.
    "lambda": (-math.inf, 100.0),
}


_LONG = 100
"""Letters and digits, from which a text that is in another is no coincidence."""


def check_training(sets: Sequence[TrainingSet], loss: Loss) -> list[Finding]:
    """What a reader should know of the data: repeated, contradictory and blank pairs, and more.

    Raises InvalidInputError where the loss has nothing to learn: a set without pairs, labels out
    of its range, labels of one class only, and documents that it would compare and that are
    labelled alike.
    """
    for each in sets:
        if not any(group.documents for group in each.groups):
            raise InvalidInputError(
                f"{each} gives no pairs to train on: take another split, raise queries, or "
                "remove the source"
            )
        _check_range(each, loss.name)
    _check_classes(sets, loss.name)
    for each in sets:
        _check_contrast(each, loss.name)
    return findings([*_of_pairs(sets), *_of_groups(sets, loss.name)])


def without_leaks(
    sets: Sequence[TrainingSet],
    evaluations: Sequence[JudgedCollection | LabelledPairs],
    policy: Leaks,
) -> tuple[list[TrainingSet], list[Finding]]:
    """The sets, and what of them the evaluation has too: removed where ``policy`` says so.

    A training query that is judged in a collection is a leak, and a training pair that is among
    labelled pairs, either way round. Documents are common to both as a rule, and so may be the
    first texts of labelled pairs: these alone are no leak. Texts are compared by their letters
    and digits; a long one is found in another too, as what is mined of long documents is a passage.

    Raises InvalidInputError with the first leak where ``policy`` is "refuse".
    """
    queries: dict[str, str] = {}
    pairs: dict[str, dict[str, str]] = {}
    for evaluation in evaluations:
        if isinstance(evaluation, JudgedCollection):
            queries |= _judged(evaluation)
        else:
            _add_labelled(pairs, evaluation)
    done = {"remove": ", removed", "allow": ", left in", "refuse": ""}[policy]
    of_queries = Tally(f"training queries that the evaluation has too{done}")
    of_pairs = Tally(f"training pairs that the evaluation has too{done}")
    kept = []
    for each in sets:
        groups: list[Group] = []
        for i, group in enumerate(each.groups):
            query = letters_and_digits(group.query)
            if query in queries:
                of_queries.add(f"{_place(each, i)}, which is also {queries[query]}")
                continue
            leaked = set()
            for j, document in enumerate(group.documents if query in pairs else ()):
                also = _same_or_around(letters_and_digits(document), pairs[query])
                if also is not None:
                    of_pairs.add(f"{_place(each, i, j)}, which is also {also}")
                    leaked.add(j)
            groups.append(_without(group, leaked))
        kept.append(replace(each, groups=groups))
    found = findings([of_queries, of_pairs])
    if found and policy == "refuse":
        raise InvalidInputError(
            f"{'; '.join(map(str, found))}: the figures would flatter the model; set "
            'leaks to "remove", or to "allow" to go on all the same'
        )
    if policy != "remove":
        return list(sets), found
    for each, left in zip(sets, kept, strict=True):
        if each.groups and not any(group.documents for group in left.groups):
            raise InvalidInputError(
                f"{each} has nothing that the evaluation does not have too "
                f"({'; '.join(map(str, found))}): take another split, or remove the source"
            )
    return kept, found


def _without(group: Group, places: set[int]) -> Group:
    """The group without the documents at these places."""
    if not places:
        return group
    left = [i for i in range(len(group.documents)) if i not in places]
    return Group(
        group.query,
        [group.documents[i] for i in left],
        [group.labels[i] for i in left],
        [group.places[i] for i in left] if group.places else (),
    )


def _check_range(training_set: TrainingSet, loss: LossName) -> None:
    low, high = _LIMITS.get(loss, (-math.inf, math.inf))
    labels = {label for group in training_set.groups for label in group.labels}
    if low <= min(labels) and max(labels) <= high:
        return
    first = next(
        _place(training_set, i, j)
        for i, j, label in _labelled_places(training_set)
        if not low <= label <= high
    )
    interval = f"up to {high:g}" if math.isinf(low) else f"in [{low:g}, {high:g}]"
    others = ", ".join(sorted(UNBOUNDED - {loss}))
    remedy = _label_map(labels) if training_set.as_in_file else ""
    raise InvalidInputError(
        f"{training_set}: the labels go from {min(labels):g} to {max(labels):g} (first outside: "
        f"{first}), and {loss} needs labels {interval}: {remedy}take a loss whose "
        f"labels may be any numbers ({others})"
    )


def _label_map(labels: set[float]) -> str:
    """A map of the labels to [0, 1], evenly by value, to set in the source; none for many."""
    if not 1 < len(labels) <= 10:
        return ""
    low, high = min(labels), max(labels)
    entries = [
        # A dot in a bare key would make a table of it.
        (f"{label:g}" if label.is_integer() else f'"{label:g}"', (label - low) / (high - low))
        for label in sorted(map(float, labels))
    ]
    shown = ", ".join(f"{key} = {round(value, 3)}" for key, value in entries)
    return f"set label_map = {{{shown}}} in its source, or "


def _check_classes(sets: Sequence[TrainingSet], loss: LossName) -> None:
    labels = {label for each in sets for group in each.groups for label in group.labels}
    if loss == "multiple-negatives" and max(labels) > POSITIVE_ABOVE:
        return
    if len(labels) > 1 and loss != "multiple-negatives":
        return
    count = sum(len(group.documents) for each in sets for group in each.groups)
    if max(labels) > POSITIVE_ABOVE:
        remedy = (
            "add pairs that do not belong together, labelled 0, or set loss to "
            "multiple-negatives, which takes the texts of other queries for negatives"
        )
    else:
        remedy = "add pairs that belong together, labelled 1"
    which = f"the label {min(labels):g}" if len(labels) == 1 else f"labels up to {max(labels):g}"
    raise InvalidInputError(
        f"all {count:,} training pairs have {which}, so that there is nothing to tell apart: "
        f"{remedy}"
    )


def _check_contrast(training_set: TrainingSet, loss: LossName) -> None:
    if any(teaches(group, loss) for group in training_set.groups):
        return
    if loss == "multiple-negatives":
        problem = f"has no positive pair (a label above {POSITIVE_ABOVE:g})"
        remedy = "add pairs that belong together, or remove the source"
    else:
        problem = f"has no query with documents of different labels, which {loss} compares"
        remedy = (
            "give the queries positives and negatives, or set loss to bce or mse, which take "
            "each pair by itself"
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
                (repeated if seen[pair] == label else contradicted).add(_place(each, i, j))
            seen.setdefault(pair, label)
            if not query.strip() or not document.strip():
                blank.add(_place(each, i, j))
            elif query == document:
                same.add(_place(each, i, j))
    return [repeated, contradicted, blank, same]


def _of_groups(sets: Sequence[TrainingSet], loss: LossName) -> list[Tally]:
    unused = Tally(f"training queries that {loss} learns nothing from, left out")
    cut = Tally(f"training queries of which {loss} leaves out negatives, as another one has fewer")
    for each in sets:
        used = [group for group in each.groups if teaches(group, loss)]
        most = common_negatives(used) if loss == "multiple-negatives" else math.inf
        for i, group in enumerate(each.groups):
            if not teaches(group, loss):
                unused.add(_place(each, i))
            elif common_negatives([group]) > most:
                cut.add(f"{_place(each, i)}; the fewest are {most:,}")
    return [unused, cut]


def _labelled_places(training_set: TrainingSet) -> Iterator[tuple[int, int, float]]:
    """Every pair: the place of its group, its place there, and its label."""
    for i, group in enumerate(training_set.groups):
        for j, label in enumerate(group.labels):
            yield i, j, label


def _place(training_set: TrainingSet, group: int, document: int | None = None) -> str:
    """Where a group or one of its pairs stands: its line where it has one, never its texts."""
    places = training_set.groups[group].places
    if places:
        return f"{training_set}, {places[document or 0]}"
    pair = "" if document is None else f", document {document + 1}"
    return f"{training_set}, query {group + 1}{pair}"


def _judged(collection: JudgedCollection) -> dict[str, str]:
    return {
        letters_and_digits(collection.queries[id]): f"{collection.name}/{collection.split}, "
        f"query {id!r}"
        for id in collection.qrels
        if id in collection.queries
    }


def _add_labelled(known: dict[str, dict[str, str]], pairs: LabelledPairs) -> None:
    """Add to each text of the pairs those that it stands with, and where."""
    for i, pair in enumerate(pairs.pairs, start=1):
        one, other = map(letters_and_digits, pair)
        place = f"{pairs.name}/{pairs.split}, pair {i}"
        known.setdefault(one, {})[other] = place
        known.setdefault(other, {})[one] = place


def _same_or_around(text: str, known: Mapping[str, str]) -> str | None:
    """Where the text stands, or one that a long one is a part of."""
    if text in known or len(text) < _LONG:
        return known.get(text)
    return next((place for other, place in known.items() if text in other), None)
