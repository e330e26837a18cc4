"""The report of a trained model and its base, and its figures on the card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rerank_search.corpora.definition import IndexSettings
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import Experiment
from rerank_search.evaluation.report.schema import Report, SystemReport
from rerank_search.judged.settings import RerankerSettings
from rerank_search.progress import Progress
from rerank_search.reranking.model_files import scores_pairs
from rerank_search.training.publish.card_facts import Result
from rerank_search.training.run.prepare import Prepared

UNTUNED = "untuned"
"""Name of the base model in reports."""


def report_of(prepared: Prepared, directory: Path, progress: Progress) -> Report | None:
    """The evaluation's report of the trained model and its base, on the whole of each set."""
    recipe = prepared.recipe
    if recipe.evaluation is None:
        return None
    base = Path(prepared.base.directory)
    names = {recipe.name: directory}
    if recipe.student is None and scores_pairs(base):
        names = {UNTUNED: base, **names}
    experiment = Experiment(
        name=recipe.name,
        collections=list(prepared.measured),
        rerankers=[
            RerankerSettings(model=str(model), name=name, dtype=prepared.precision, fusion=False)
            for name, model in names.items()
        ],
        index=IndexSettings(encoder=False),
        cost_queries=0,
    )
    return evaluate(experiment, recipe.beside("evaluation"), progress=progress)


def results_of(report: Report) -> Iterator[Result]:
    """The figures of the trained model, with those of its first stage and of its base."""
    bases = {system.key: system for system in report.systems if system.reranker == UNTUNED}
    for system in report.systems:
        if system.reranker not in (None, UNTUNED):
            yield from _of_system(system, bases.get(system.key))
    untuned = {pairs.collection: pairs for pairs in report.pairs if pairs.reranker == UNTUNED}
    for pairs in report.pairs:
        if pairs.reranker == UNTUNED:
            continue
        base = untuned.get(pairs.collection)
        for measure, value in pairs.values.items():
            if measure.endswith("threshold"):
                continue  # a threshold does not say how good the model is
            low, high = pairs.intervals.get(measure, (None, None))
            before = None if base is None else base.values[measure]
            yield Result(pairs.collection, "pairs", measure, value, low, high, base=before)


def _of_system(system: SystemReport, base: SystemReport | None) -> Iterator[Result]:
    for protocol in ("retrieved", "all_positives", "sbert"):
        for measure, value in system.protocols.get(protocol, {}).items():
            low, high = system.intervals.get(protocol, {}).get(measure, (None, None))
            yield Result(
                name=system.collection,
                protocol=protocol,
                measure=measure,
                value=value,
                low=low,
                high=high,
                first_stage=system.protocols["first_stage"].get(measure),
                base=None if base is None else base.protocols[protocol].get(measure),
            )
