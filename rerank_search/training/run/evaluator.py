"""Measures a model in training, with the evaluation's own measures and total order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from sentence_transformers.base.evaluation import BaseEvaluator

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.classification import classification_values
from rerank_search.evaluation.measures import Scorer, canonical
from rerank_search.judged.collection import JudgedCollection, LabelledPairs
from rerank_search.judged.formats.samples import document_id
from rerank_search.judged.loading import by_hash
from rerank_search.ranking import ranked
from rerank_search.training.model.precision import Precision
from rerank_search.training.recipe.measuring import Evaluation

Pair: TypeAlias = tuple[str, str]

ALSO = ("MAP", "MRR@10", "nDCG@10")
PAIR_MEASURES = ("average_precision", "f1", "accuracy")
DIVERGED = (
    "the training has diverged: weights or scores are not finite, and no model was written. Lower "
    "learning_rate, and remove the run's checkpoints"
)

PAIRS_PER_QUERY = 10
"""Number of labelled pairs to score for each query of ``Evaluation.queries``."""


class Watched(Protocol):
    """Data that scores can be measured on."""

    @property
    def pairs(self) -> Sequence[Pair]:
        """The pairs to score."""
        ...

    @property
    def judgements(self) -> Any:
        """The data that the scores are compared with, for JSON."""
        ...

    def values(self, scores: Sequence[float]) -> dict[str, float]:
        """Measure to value, for one score for each of the pairs."""
        ...


class WatchedSamples:
    """Samples with their own candidates: each ranking is measured against all positives."""

    def __init__(self, collection: JudgedCollection, settings: Evaluation, measures: Sequence[str]):
        """``settings.queries`` of the collection's samples, drawn by hash."""
        if collection.samples is None:
            raise InvalidInputError(f"{collection.name} has no samples: give a file of samples")
        self._with_positives = settings.protocol == "all_positives"
        chosen = set(by_hash(collection.qrels)[: settings.queries])
        self._lists: dict[str, list[str]] = {}
        self.pairs: list[Pair] = []
        apart = 0
        for sample in collection.samples():
            query = str(sample.line)
            if query not in chosen:
                continue
            texts = dict.fromkeys(
                (*sample.given, *sample.positive) if self._with_positives else sample.given
            )
            self._lists[query] = list(map(document_id, texts))
            self.pairs += [(sample.query, text) for text in texts]
            relevant = set(sample.positive)
            apart += 0 < sum(text in relevant for text in texts) < len(texts)
        if not apart:
            raise InvalidInputError(
                f"the evaluation set {collection.name} cannot tell models apart, because no "
                "sample has both a relevant text and another one to rank: add documents, or set "
                "protocol to all_positives"
            )
        qrels = {query: dict(collection.qrels[query]) for query in sorted(chosen)}
        self.judgements = [self._lists, qrels]
        self._scorer = Scorer(collection.qrels, measures)

    def values(self, scores: Sequence[float]) -> dict[str, float]:
        """The mean of each measure over the queries."""
        left = iter(scores)
        rankings = {
            query: [id for id, _, _ in ranked((id, next(left), None) for id in ids)]
            for query, ids in self._lists.items()
        }
        found = list(self._scorer.score(rankings).values())
        return {name: sum(each[name] for each in found) / len(found) for name in found[0]}


class WatchedPairs:
    """Labelled pairs, as sentence-transformers' classification evaluator measures them."""

    def __init__(self, labelled: LabelledPairs, settings: Evaluation):
        """The first pairs of ``labelled`` in an order by hash."""
        places = {f"{place} {a} {b}": place for place, (a, b) in enumerate(labelled.pairs)}
        chosen = [places[key] for key in by_hash(places)[: PAIRS_PER_QUERY * settings.queries]]
        self.pairs = [labelled.pairs[place] for place in chosen]
        self._labels = self.judgements = [labelled.labels[place] for place in chosen]
        if len(set(self._labels)) < 2:
            raise InvalidInputError(
                f"the evaluation set {labelled.name} cannot tell models apart, because the "
                f"{len(chosen):,} pairs that are scored all have the label {self._labels[0]:g}: "
                "add others, or raise evaluation.queries"
            )

    def values(self, scores: Sequence[float]) -> dict[str, float]:
        """Average precision, F1 and accuracy."""
        found = classification_values(self._labels, scores)
        return {name: found[name] for name in PAIR_MEASURES}


class HarnessEvaluator(BaseEvaluator):
    """Scores the sets of ``[evaluation]``; the measure of the first one is the primary metric.

    Metrics have names "SET_MEASURE". Raises InvalidInputError for a measure that the first set does
    not have, and for a set on which all models would have the same figures.
    """

    def __init__(
        self,
        sets: Mapping[str, JudgedCollection | LabelledPairs],
        settings: Evaluation,
        precision: Precision,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._precision = precision
        self._sets = {name: _watched(loaded, settings) for name, loaded in sets.items()}
        self.primary_metric = primary_metric(settings)

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: Any = -1, steps: int = -1
    ) -> dict[str, float]:
        """The metrics of the present model, whose mode (training or not) is restored."""
        was_training = model.training
        model.eval()
        metrics = {
            f"{name}_{measure}": value
            for name, watched in self._sets.items()
            for measure, value in watched.values(self._scores(model, watched.pairs)).items()
        }
        model.train(was_training)
        self.store_metrics_in_model_card_data(model, metrics, epoch, steps)
        return metrics

    def content(self) -> Iterator[Any]:
        """Everything but the model that decides the metrics, for JSON."""
        for name, watched in self._sets.items():
            yield [name, watched.pairs, watched.judgements]

    def _scores(self, model: Any, pairs: Sequence[Pair]) -> list[float]:
        kind = model.device.type
        with torch.autocast(
            kind, getattr(torch, self._precision), enabled=self._precision != "float32"
        ):
            scores: Any = model.predict(
                list(pairs), activation_fn=torch.nn.Identity(), show_progress_bar=False
            )
        # A ranking by NaN has a measure too, and might seem the best.
        if not np.isfinite(scores).all():
            raise InvalidInputError(DIVERGED)
        found: list[float] = scores.tolist()
        return found


def primary_metric(settings: Evaluation) -> str:
    """The name of the metric that decides which checkpoint is the best."""
    first, measure = settings.sets[0], settings.measure
    of_pairs = first.pairs is not None
    if of_pairs != (measure in PAIR_MEASURES):
        choice = f"choose one of {', '.join(PAIR_MEASURES)}"
        if not of_pairs:
            choice = f"choose a measure of rankings, such as {', '.join(ALSO)}"
        raise InvalidInputError(
            f"evaluation.measure is {measure!r}, but the first set has "
            f"{'pairs' if of_pairs else 'samples'}: {choice}"
        )
    return f"{first.name}_{measure if of_pairs else canonical([measure])[0]}"


def _watched(loaded: JudgedCollection | LabelledPairs, settings: Evaluation) -> Watched:
    if isinstance(loaded, LabelledPairs):
        return WatchedPairs(loaded, settings)
    decisive = [] if settings.measure in PAIR_MEASURES else [settings.measure]
    return WatchedSamples(loaded, settings, canonical([*decisive, *ALSO]))
