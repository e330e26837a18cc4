"""Logistic regression by Newton steps, for fusion and calibration.

Iteratively reweighted least squares (Hastie, Tibshirani and Friedman 2009, section 4.4), with an
L2 penalty on the weights of standardised columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def sigmoid(values: Float64) -> Float64:
    """1 / (1 + exp(-values)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -values)), dtype=np.float64)


def logistic_regression(
    matrix: Float64, target: Float64, *, l2: float = 0.0
) -> tuple[Float64, float]:
    """The most likely weights, shape (columns,), and the intercept of the log-odds.

    ``matrix`` is (n, columns); ``target``, shape (n,), has numbers from 0 to 1, not all of them 0
    and not all of them 1. A constant column has the weight 0 if ``l2`` is above 0.
    """
    mean, scale = matrix.mean(axis=0), matrix.std(axis=0)
    scale[scale == 0] = 1.0
    design = np.column_stack([np.ones(len(matrix)), (matrix - mean) / scale])
    penalty = np.diag([0.0] + [l2] * matrix.shape[1])

    def loss(beta: Float64) -> float:
        log_odds = design @ beta
        likelihood = target @ log_odds - np.logaddexp(0.0, log_odds).sum()
        return float(beta @ penalty @ beta / 2 - likelihood)

    beta = np.zeros(design.shape[1])
    rate = target.mean()
    beta[0] = np.log(rate / (1 - rate))
    for _ in range(100):
        probability = sigmoid(design @ beta)
        gradient = design.T @ (target - probability) - penalty @ beta
        variance = np.maximum(probability * (1 - probability), 1e-9)
        step = np.linalg.solve((design * variance[:, None]).T @ design + penalty, gradient)
        # Far from the optimum Newton overshoots and diverges: halve the step until the loss falls.
        before = loss(beta)
        while loss(beta + step) > before and np.abs(step).max() > 1e-10:
            step /= 2
        beta += step
        if np.abs(step).max() < 1e-10:
            break
    weights: Float64 = beta[1:] / scale
    return weights, float(beta[0] - weights @ mean)
