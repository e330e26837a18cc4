"""Scores in [0, 1] for a reranker's logits, for APIs and frameworks that want such scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rerank_search.reranking.base import Reranker
from rerank_search.reranking.calibration import Calibration
from rerank_search.reranking.traits import traits


def logit_calibration(reranker: Reranker) -> Calibration | None:
    """The reranker's calibration of its logit, if it has one."""
    calibrations = traits(reranker).calibration
    return None if calibrations is None else calibrations.of(None)


def relevance_scores(reranker: Reranker, logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The calibrated probabilities, or without a calibration the model's activation or the sigmoid.

    For display and thresholds: sort by the logits, which never tie where these do.
    """
    if (calibration := logit_calibration(reranker)) is not None:
        return np.asarray(calibration.probability(logits), dtype=np.float32)
    if (activated := getattr(reranker, "activated", None)) is not None:
        return np.clip(np.asarray(activated(logits), np.float32), 0.0, 1.0)
    # The sigmoid, in a form that never overflows.
    return np.exp(-np.logaddexp(0.0, -logits)).astype(np.float32)
