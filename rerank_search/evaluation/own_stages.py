"""The first stages of an experiment that search elsewhere: stores, and the user's own code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from rerank_search.evaluation.experiment import Experiment
from rerank_search.import_path import searchable_at
from rerank_search.judged.own_stage import OwnStage
from rerank_search.stores import Store, open_store


def own_stages(experiment: Experiment, stack: ExitStack) -> Iterator[OwnStage]:
    """The experiment's own first stages. Each store is opened once, and ``stack`` closes it.

    Raises InvalidInputError for a first stage that a store does not have, and what importing and
    opening raise.
    """
    for path in experiment.import_paths:
        yield OwnStage(path, searchable_at(path))
    opened: dict[str, Store] = {}
    for each in experiment.stores:
        if each.url not in opened:
            opened[each.url] = stack.enter_context(open_store(each.url))
        store = opened[each.url]
        stage = OwnStage(each.name, store, each.stage, store.afresh)
        stage.searched.retriever(stage.first_stage)  # one that is not there is told now
        yield stage
