"""How well a score separates pairs that belong together from other pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.results import PairCell, StatisticsSettings
from rerank_search.judged.collection import LabelledPairs

_CURVE_POINTS = 200


def pair_cell(
    pairs: LabelledPairs, reranker: str, scores: Sequence[float], settings: StatisticsSettings
) -> PairCell:
    """The figures of a reranker's scores of labelled pairs. Raises InvalidInputError."""
    return PairCell(
        collection=pairs.name,
        split=pairs.split,
        reranker=reranker,
        n_pairs=len(pairs.labels),
        n_positive=sum(pairs.labels),
        values=classification_values(pairs.labels, scores),
        curve=precision_recall_curve(pairs.labels, scores),
        warnings=[],
        intervals=classification_intervals(pairs.labels, scores, settings),
    )


def classification_values(labels: Sequence[int], scores: Sequence[float]) -> dict[str, float]:
    """Accuracy, F1 and average precision of scores, at the thresholds that are best for them.

    ``labels`` are 1 or 0; ``scores`` has one score for each, used in single precision as a model
    gives them. The figures are those of sentence-transformers'
    ``CrossEncoderClassificationEvaluator`` (6.2) for a model with one output: ``accuracy`` at
    ``accuracy_threshold``; ``f1``, ``precision`` and ``recall`` at ``f1_threshold``;
    ``average_precision``. A pair counts as positive from the threshold on, and a threshold is
    midway between two neighbouring scores. Without a positive label F1 and average precision are 0.
    Raises InvalidInputError for labels other than 0 and 1, for scores that are not finite, and
    without pairs.
    """
    return _values(_groups(*_ordered(labels, scores)))


def classification_intervals(
    labels: Sequence[int], scores: Sequence[float], settings: StatisticsSettings
) -> dict[str, tuple[float, float]]:
    """The confidence intervals of ``classification_values``, without the thresholds.

    They come from the percentile bootstrap over pairs; thresholds are chosen again in each sample.
    The number of samples is a tenth of ``settings.resamples``, at least 100, because there are far
    more pairs than queries. Source and errors as for ``bootstrap_interval`` and
    ``classification_values``.
    """
    ordered, positive = _ordered(labels, scores)
    rng = np.random.default_rng(settings.seed)
    count = len(ordered)
    drawn = (
        np.bincount(rng.integers(count, size=count), minlength=count)
        for _ in range(max(100, settings.resamples // 10))
    )
    samples = [_values(_groups(ordered, positive, times)) for times in drawn]
    tail = (1 - settings.confidence) / 2
    intervals = {}
    for name in samples[0]:
        if not name.endswith("threshold"):
            low, high = np.quantile([sample[name] for sample in samples], [tail, 1 - tail])
            intervals[name] = (float(low), float(high))
    return intervals


def precision_recall_curve(
    labels: Sequence[int], scores: Sequence[float]
) -> list[tuple[float, float]]:
    """The points (recall, precision) from the highest threshold to the lowest, at most 200.

    If there are more thresholds, the points are spread evenly over the recall; the last one accepts
    every pair. Without a positive label there is no recall and no point. Errors as for
    ``classification_values``.
    """
    groups = _groups(*_ordered(labels, scores))
    if not groups.positives:
        return []
    recall, precision = groups.recall, groups.precision
    chosen = np.arange(len(recall))
    if len(recall) > _CURVE_POINTS:
        even = np.linspace(recall[0], 1.0, _CURVE_POINTS - 1)
        chosen = np.unique([*np.searchsorted(recall, even), len(recall) - 1])
    return list(zip(recall[chosen].tolist(), precision[chosen].tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class _Groups:
    """The pairs that each distinct score, best first, would accept as a threshold.

    ``accepted`` counts the pairs with this score or a better one, ``correct`` the positives among
    them; all three of shape [distinct scores].
    """

    scores: NDArray[np.float32]
    accepted: NDArray[np.int64]
    correct: NDArray[np.int64]

    @property
    def positives(self) -> int:
        return int(self.correct[-1])

    @property
    def pairs(self) -> int:
        return int(self.accepted[-1])

    @property
    def precision(self) -> NDArray[np.float64]:
        precision: NDArray[np.float64] = self.correct / self.accepted
        return precision

    @property
    def recall(self) -> NDArray[np.float64]:
        recall: NDArray[np.float64] = self.correct / max(self.positives, 1)
        return recall

    def threshold(self, group: int) -> float:
        """Midway to the next group, but always above its score, whatever the rounding."""
        score = self.scores[group]
        if group + 1 == len(self.scores):
            return float(score)
        following = self.scores[group + 1]
        midway = (score + following) / 2
        return float(score if midway == following else midway)


def _values(groups: _Groups) -> dict[str, float]:
    return {**_best_accuracy(groups), **_best_f1(groups), "average_precision": _average(groups)}


def _ordered(
    labels: Sequence[int], scores: Sequence[float]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The scores, best first, and whether each is that of a positive pair."""
    given, wanted = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if len(given) != len(wanted) or not len(given):
        raise InvalidInputError(
            f"there are {len(wanted)} labels for {len(given)} scores: give one label for each "
            "pair, and at least one pair"
        )
    for place in np.flatnonzero(~np.isin(wanted, (0, 1)))[:1]:
        raise InvalidInputError(f"pair {place + 1} has the label {wanted[place]}: use 0 or 1")
    with np.errstate(over="ignore"):
        single = given.astype(np.float32)
    for place in np.flatnonzero(~np.isfinite(single))[:1]:
        raise InvalidInputError(
            f"pair {place + 1} has the score {given[place]}, which is not finite in single "
            "precision: check the reranker"
        )
    order = np.argsort(-single, kind="stable")
    return single[order], wanted[order] == 1


def _groups(
    ordered: NDArray[np.float32],
    positive: NDArray[np.bool_],
    times: NDArray[np.int64] | None = None,
) -> _Groups:
    """The distinct scores; each pair counts ``times`` times, or once if that is None."""
    if times is not None:
        kept = times > 0
        ordered, positive, times = ordered[kept], positive[kept], times[kept]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    if times is None:
        return _Groups(ordered[ends], ends + 1, np.cumsum(positive, dtype=np.int64)[ends])
    return _Groups(ordered[ends], np.cumsum(times)[ends], np.cumsum(times * positive)[ends])


def _best_accuracy(groups: _Groups) -> dict[str, float]:
    """Source: ``BinaryClassificationEvaluator.find_best_acc_and_threshold``."""
    negatives = groups.pairs - groups.positives
    right = groups.correct + negatives - (groups.accepted - groups.correct)
    best = int(right.argmax())
    if right[best] <= negatives:  # no threshold is better than accepting no pair
        above = np.nextafter(groups.scores[0], np.float32(np.inf))
        return {"accuracy": negatives / groups.pairs, "accuracy_threshold": float(above)}
    return {
        "accuracy": float(right[best] / groups.pairs),
        "accuracy_threshold": groups.threshold(best),
    }


def _best_f1(groups: _Groups) -> dict[str, float]:
    """Source: ``BinaryClassificationEvaluator.find_best_f1_and_threshold``."""
    if not groups.positives:
        return {"f1": 0.0, "f1_threshold": 0.0, "precision": 0.0, "recall": 0.0}
    precision, recall = groups.precision, groups.recall
    total = precision + recall
    # The order of operations decides which of two equal values is larger after rounding.
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    best = int(f1.argmax())
    return {
        "f1": float(f1[best]),
        "f1_threshold": groups.threshold(best),
        "precision": float(precision[best]),
        "recall": float(recall[best]),
    }


def _average(groups: _Groups) -> float:
    """The precision at each threshold, weighted by the recall that it adds.

    Source: ``sklearn.metrics.average_precision_score``.
    """
    return float(np.diff(groups.recall, prepend=0.0) @ groups.precision)
