"""Tests of differences between systems on one set of queries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.results import StatisticsSettings

# A smaller difference between two values of a measure comes from rounding.
_SAME = 1e-9
# Values in one block of resamples: bounds the memory, and fits the processor's cache.
_BLOCK = 2**18


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems on the same queries.

    ``difference`` is the mean of ``ours`` minus that of ``theirs``, ``interval`` its confidence
    interval. ``p_holm`` is ``p`` corrected for all comparisons made at once. ``wins``, ``ties``
    and ``losses`` count the queries on which ``ours`` is better, as good, or worse.
    """

    ours: str
    theirs: str
    difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    wins: int
    ties: int
    losses: int


def bootstrap_interval(
    values: Sequence[float], settings: StatisticsSettings
) -> tuple[float, float]:
    """The confidence interval of the mean over queries, by the percentile bootstrap.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. One query
    gives its own value twice, no query (0.0, 0.0). Raises InvalidInputError for values that are
    not finite.
    """
    return bootstrap_intervals([values], settings)[0]


def bootstrap_intervals(
    columns: Sequence[Sequence[float]], settings: StatisticsSettings
) -> list[tuple[float, float]]:
    """The intervals of several systems or measures on the same queries.

    Each equals what ``bootstrap_interval`` returns for it alone, but samples of queries are drawn
    once for all, in a fraction of the time. Raises InvalidInputError also for different lengths.
    """
    return _intervals(_matrix(columns), settings)


def p_value(ours: Sequence[float], theirs: Sequence[float], settings: StatisticsSettings) -> float:
    """The two-sided p-value of the mean difference between two systems.

    The randomisation test flips the signs of the queries' differences: in all 2^n ways if these are
    at most ``resamples``, else in that many random ways, with p = (b + 1) / (m + 1), which is never
    0. Sources: Smucker, Allan and Carterette, A comparison of statistical significance tests for
    information retrieval evaluation (CIKM 2007); Phipson and Smyth, Permutation p-values should
    never be zero (2010). The t-test is the paired one; in it differences that are all the same, and
    not 0, have p = 0. In both tests p is 1 for fewer than two queries. Raises InvalidInputError for
    different lengths or values that are not finite.
    """
    matrix = _matrix([ours, theirs])
    return _p_values(matrix[:, :1] - matrix[:, 1:], settings)[0]


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, corrected to bound the chance of one false finding among all of them.

    They keep their order, and none is above 1. Source: Holm, A simple sequentially rejective
    multiple test procedure (1979).
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def tally(differences: NDArray[np.float64]) -> tuple[int, int, int]:
    """The numbers of wins, ties (differences of at most 1e-9) and losses."""
    ties = int((abs(differences) <= _SAME).sum())
    losses = int((differences < -_SAME).sum())
    return len(differences) - ties - losses, ties, losses


def compare_all(
    systems: Mapping[str, Sequence[float]], settings: StatisticsSettings
) -> list[Comparison]:
    """Every unordered pair of systems, in their order, with Holm's correction over all pairs.

    ``systems`` maps each name to one value per query, the same queries in the same order. Raises
    InvalidInputError for different lengths or values that are not finite.
    """
    pairs = list(itertools.combinations(range(len(systems)), 2))
    if not pairs:
        return []
    names, matrix = list(systems), _matrix(list(systems.values()))
    differences = matrix[:, [a for a, _ in pairs]] - matrix[:, [b for _, b in pairs]]
    p_values = _p_values(differences, settings)
    return [
        Comparison(
            names[a],
            names[b],
            _mean(column),
            interval,
            p,
            p_holm,
            *tally(column),
        )
        for (a, b), column, interval, p, p_holm in zip(
            pairs,
            differences.T,
            _intervals(differences, settings),
            p_values,
            holm(p_values),
            strict=True,
        )
    ]


def _matrix(columns: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Values of shape [queries, columns]."""
    lengths = sorted({len(column) for column in columns})
    if len(lengths) > 1:
        raise InvalidInputError(
            f"there are systems with {lengths[0]} and with {lengths[-1]} values: compare them on "
            "the same queries"
        )
    shape = (len(columns), lengths[0] if lengths else 0)
    matrix = np.array(columns, dtype=np.float64).reshape(shape).T
    if not np.isfinite(matrix).all():
        raise InvalidInputError("a value is NaN or infinite: use 0 for a query without results")
    return matrix


def _mean(column: NDArray[np.float64]) -> float:
    return float(column.mean()) if len(column) else 0.0


def _blocks(resamples: int, queries: int) -> Iterator[int]:
    """The numbers of resamples to draw at a time, which each fit into a block."""
    block = max(1, _BLOCK // queries)
    for start in range(0, resamples, block):
        yield min(block, resamples - start)


def _intervals(
    matrix: NDArray[np.float64], settings: StatisticsSettings
) -> list[tuple[float, float]]:
    queries, columns = matrix.shape
    if not queries:
        return [(0.0, 0.0)] * columns
    random = np.random.default_rng(settings.seed)
    means = np.concatenate(
        [
            _draws(random, rows, queries) @ matrix / queries
            for rows in _blocks(settings.resamples, queries)
        ]
    )
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _draws(random: np.random.Generator, rows: int, queries: int) -> NDArray[np.float64]:
    """How often each query is in a sample with replacement, of shape [rows, queries]."""
    drawn = random.integers(0, queries, size=(rows, queries))
    drawn += np.arange(rows)[:, None] * queries
    counts = np.bincount(drawn.ravel(), minlength=rows * queries)
    return counts.reshape(rows, queries).astype(np.float64)


def _p_values(differences: NDArray[np.float64], settings: StatisticsSettings) -> list[float]:
    queries, columns = differences.shape
    if queries < 2:
        return [1.0] * columns
    if settings.test == "t-test":
        return [_t_test(column) for column in differences.T]
    return _randomisation(differences, settings)


def _t_test(differences: NDArray[np.float64]) -> float:
    from scipy.stats import ttest_1samp

    if np.ptp(differences) <= _SAME:  # without variance there is no t
        return 1.0 if abs(differences[0]) <= _SAME else 0.0
    return float(ttest_1samp(differences, 0.0).pvalue)


def _randomisation(differences: NDArray[np.float64], settings: StatisticsSettings) -> list[float]:
    queries, columns = differences.shape
    total = differences.sum(axis=0)
    # The same sum in another order may be smaller after rounding, and is as extreme.
    observed = abs(total) - _SAME
    exact = queries < 63 and 2**queries <= settings.resamples
    resamples = 2**queries if exact else settings.resamples
    random = np.random.default_rng(settings.seed)
    extreme = np.zeros(columns, dtype=np.int64)
    done = 0
    for rows in _blocks(resamples, queries):
        if exact:
            ways = np.arange(done, done + rows)[:, None]
            flipped = (ways >> np.arange(queries)) & 1
        else:
            flipped = random.integers(0, 2, size=(rows, queries), dtype=np.int8)
        sums = total - 2 * (flipped.astype(np.float64) @ differences)
        extreme += (abs(sums) >= observed).sum(axis=0)
        done += rows
    if exact:  # the observed signs are one of the ways
        return (extreme / resamples).tolist()  # type: ignore[no-any-return]
    return ((extreme + 1) / (resamples + 1)).tolist()  # type: ignore[no-any-return]
