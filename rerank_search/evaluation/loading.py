"""The collections of an experiment, loaded and checked against it."""

from __future__ import annotations

from collections.abc import Sequence

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.experiment import Experiment
from rerank_search.judged.collection import JudgedCollection, LabelledPairs
from rerank_search.judged.loading import load_collection


def load_collections(experiment: Experiment) -> list[JudgedCollection | LabelledPairs]:
    """Read the collections of an experiment, in its order.

    Raises InvalidInputError as ``load_collection`` does, and for a setting of the experiment that
    has no effect on any of its collections.
    """
    loaded = [load_collection(settings) for settings in experiment.collections]
    ranked = [each for each in loaded if isinstance(each, JudgedCollection)]
    searched = any(
        each.samples is None and (each.documents is not None or settings.index is not None)
        for each, settings in zip(loaded, experiment.collections, strict=True)
        if isinstance(each, JudgedCollection)
    )
    if experiment.first_stages and not searched:
        raise InvalidInputError(
            f"first_stages are {', '.join(experiment.stage_names)}, but no collection is "
            "searched (samples and runs have their own candidates): leave first_stages out"
        )
    for key in ("candidates", "measures", "primary"):
        if not ranked and getattr(experiment, key) != Experiment.model_fields[key].default:
            raise InvalidInputError(
                f"{key} has no effect on labelled pairs, which are classified and not ranked: "
                f"leave {key} out"
            )
    return loaded


def qualified_name(collection: JudgedCollection | LabelledPairs) -> str:
    """NAME/SPLIT."""
    return f"{collection.name}/{collection.split}"


def check_names(collections: Sequence[JudgedCollection | LabelledPairs]) -> None:
    """Raise InvalidInputError for two collections with the same name."""
    names = [qualified_name(collection) for collection in collections]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError(f"two collections have the name {name}: rename one of them")


def check_rerankers(
    collections: Sequence[JudgedCollection | LabelledPairs], experiment: Experiment
) -> None:
    """Raise InvalidInputError for labelled pairs without a reranker."""
    for collection in collections:
        if isinstance(collection, LabelledPairs) and not experiment.rerankers:
            raise InvalidInputError(
                f"{collection.name} has labelled pairs, which only a reranker can classify: give "
                "one"
            )
