"""Times at sizes that were not measured: a line through the measured ones, and their spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rerank_search.planning.profile import Timed
from rerank_search.planning.queueing import Seconds

QUANTILES = 100
"""Number of equally likely times that stand for a distribution."""


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds that grow with a size: ``fixed``, and ``per`` of its measure, at least ``least``."""

    fixed: float
    per: float
    least: float = 0.0

    def at(self, measure: float) -> float:
        """Seconds at a size, given by its measure."""
        return max(self.fixed + self.per * measure, self.least * measure)

    def times(self, factor: float) -> Line:
        """The line with all its times multiplied."""
        return Line(self.fixed * factor, self.per * factor, self.least * factor)


def line(calls: Sequence[Timed], measure: Callable[[float], float] = float) -> Line:
    """The line nearest to the median times (least squares of relative errors), which never falls.

    Medians, because a few calls that something else on the machine slows down should not look like
    growth; ``spread`` has these.

    If it starts below 0, times of sizes below the measured ones are in proportion. ``measure`` is
    what the time grows with, such as the logarithm of a size.
    """
    x = np.array([measure(each.size) for each in calls])
    y = np.array([np.median(each.seconds) for each in calls])
    weights = 1 / y
    design = np.stack([weights, x * weights], axis=1)
    fixed, per = np.linalg.lstsq(design, np.ones(len(y)), rcond=None)[0]
    if per < 0:
        return Line(float(y.mean()), 0.0)
    smallest = int(np.argmin(x))
    return Line(float(fixed), float(per), float(y[smallest] / x[smallest]) if fixed < 0 else 0.0)


def spread(times: Sequence[float]) -> Seconds:
    """The times divided by their median, as QUANTILES equally likely values, ascending.

    Their mean is that of the times.
    """
    found = np.quantile(np.asarray(times), (np.arange(QUANTILES) + 0.5) / QUANTILES)
    scale = np.mean(times) / np.median(times) / found.mean()
    return np.asarray(found * scale, dtype=np.float64)


def largest(calls: Sequence[Timed]) -> Timed:
    """The calls of the largest size, whose spread stands for that of larger ones."""
    return max(calls, key=lambda each: each.size)


def doublings(size: float) -> float:
    """The measure of a size for a search by a graph: it grows with the logarithm (HNSW)."""
    return math.log2(max(size, 2.0))
