"""The place of a group of a training set, or of one of its pairs."""

from __future__ import annotations

from rerank_search.training.data.groups import TrainingSet


def place_of(training_set: TrainingSet, group: int, document: int | None = None) -> str:
    """The place of a group or of one of its pairs: its line if it has one, never its texts."""
    places = training_set.groups[group].places
    if places:
        return f"{training_set}, {places[document or 0]}"
    pair = "" if document is None else f", document {document + 1}"
    return f"{training_set}, query {group + 1}{pair}"
