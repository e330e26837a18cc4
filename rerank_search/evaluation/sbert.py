"""The figures of sentence-transformers' reranking evaluator, to compare with model cards.

``CrossEncoderRerankingEvaluator`` measures each sample by itself: a query's positive texts, and
either its other texts (``negative``) or a ranked list of texts (``documents``). These are its
figures as of sentence-transformers 6.2, by the arithmetic of scikit-learn's functions in the same
single precision. They differ from trec_eval's on purpose: documents are texts, nDCG is averaged
over the orders of tied scores, positives that are not among ``documents`` are left out of the
denominator of ``retrieved_*`` while ``base_*`` puts them at the end of the list, and ``base_*``
is 0 if no positive is among ``documents``.

Where that evaluator crashes, the figures are these: a single document that is relevant is in its
ideal order, so nDCG is 1; an empty list ``documents`` retrieved nothing, so ``base_*`` and
``retrieved_*`` are 0 and the others rank the positives alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError


def sbert_values(
    positives: Sequence[str],
    documents: Sequence[str],
    scores: Mapping[str, float],
    *,
    at_k: int = 10,
) -> dict[str, float]:
    """The figures of one sample with ``documents``, its texts in the first stage's ranking.

    ``scores`` maps every text to what ``CrossEncoder.predict`` gives for it with the query.
    ``map``, ``mrr@k`` and ``ndcg@k`` are those of ``always_rerank_positives=True``,
    ``retrieved_map`` and so on those of ``False``, ``base_map`` and so on those of the order
    before reranking. Raises InvalidInputError for a text without a score, or a score that is not
    finite.
    """
    positive = set(positives)
    relevant = [int(document in positive) for document in documents]
    # Only the base ranking has the positives that were not retrieved, at the end.
    base = relevant + [1] * (len(positives) - sum(relevant)) if any(relevant) else []
    return {
        **_of_negatives(positives, [d for d in documents if d not in positive], scores, at_k),
        **_prefixed("base_", _values(base, np.arange(len(base), 0, -1), at_k)),
        **_prefixed("retrieved_", _values(relevant, _predicted(documents, scores), at_k)),
    }


def sbert_negative_values(
    positives: Sequence[str],
    negatives: Sequence[str],
    scores: Mapping[str, float],
    *,
    at_k: int = 10,
) -> dict[str, float]:
    """The figures of one sample with ``negative``: ``map``, ``mrr@k``, ``ndcg@k`` of all its texts.

    ``scores`` and errors are as for ``sbert_values``.
    """
    return _of_negatives(positives, negatives, scores, at_k)


def _of_negatives(
    positives: Sequence[str], negatives: Sequence[str], scores: Mapping[str, float], at_k: int
) -> dict[str, float]:
    relevant = [1] * len(positives) + [0] * len(negatives)
    return _values(relevant, _predicted([*positives, *negatives], scores), at_k)


def _predicted(texts: Sequence[str], scores: Mapping[str, float]) -> NDArray[np.float32]:
    try:
        given = np.array([scores[text] for text in texts], dtype=np.float64)
    except KeyError as error:
        raise InvalidInputError(
            f"the text {str(error.args[0])[:80]!r} has no score: score all texts of the sample"
        ) from None
    with np.errstate(over="ignore"):
        predicted = given.astype(np.float32)
    for place in np.flatnonzero(~np.isfinite(predicted))[:1]:
        text = texts[place]
        raise InvalidInputError(
            f"the text {text[:80]!r} has the score {scores[text]}, which cannot be ranked: "
            "check the reranker"
        )
    return predicted


def _values(relevant: Sequence[int], predicted: NDArray[Any], at_k: int) -> dict[str, float]:
    """``CrossEncoderRerankingEvaluator.compute_metrics``, of 0 or 1 by text and its score."""
    if not any(relevant):
        return {"map": 0.0, f"mrr@{at_k}": 0.0, f"ndcg@{at_k}": 0.0}
    # Order ties as argsort does, not by our total order: the reciprocal rank depends on it.
    order = predicted.argsort()[::-1][:at_k]
    ranks = (rank for rank, place in enumerate(order, start=1) if relevant[place])
    first = next(ranks, None)
    gains = np.array(relevant)
    return {
        "map": _average_precision(gains, predicted),
        f"mrr@{at_k}": 1 / first if first else 0.0,
        f"ndcg@{at_k}": _ndcg(gains, predicted, at_k) if len(relevant) > 1 else 1.0,
    }


# scikit-learn's functions spend nearly all their time on checks. These two do the same
# arithmetic in the same order and agree to the last bit, which a test checks.


def _average_precision(gains: NDArray[Any], predicted: NDArray[Any]) -> float:
    """As ``sklearn.metrics.average_precision_score``: equal scores are one step."""
    order = np.argsort(-predicted, kind="stable")
    last = np.append(np.flatnonzero(np.diff(predicted[order])), len(order) - 1)
    found = np.cumsum(gains[order], dtype=np.float64)[last]
    precision = (found / (1 + last))[::-1]
    recall = np.append((found / found[-1])[::-1], 0.0)
    return float(max(0.0, -np.sum(np.diff(recall) * precision)))


def _ndcg(gains: NDArray[Any], predicted: NDArray[Any], at_k: int) -> float:
    """As ``sklearn.metrics.ndcg_score``: equal scores share the mean of their discounts.

    Source: McSherry and Najork, Computing information retrieval performance measures efficiently
    in the presence of tied scores (ECIR 2008).
    """
    discount = 1 / (np.log(np.arange(len(gains)) + 2) / np.log(2))
    discount[at_k:] = 0
    _, group, counts = np.unique(-predicted, return_inverse=True, return_counts=True)
    mean_gain = np.bincount(group, weights=gains) / counts
    ends = np.cumsum(discount)[np.cumsum(counts) - 1]
    shares = np.diff(ends, prepend=0.0)
    shares[0] = ends[0]
    ideal = discount.dot(np.sort(gains)[::-1][np.newaxis].T)[0]
    return float((mean_gain * shares).sum() / ideal)


def _prefixed(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    return {prefix + measure: value for measure, value in values.items()}
