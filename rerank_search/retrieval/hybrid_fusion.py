"""The fusions of ``hybrid``: rules that give each document of several rankings one score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, cast

from rerank_search.arguments import one_of, real_number, several
from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown
from rerank_search.types import Hit, HybridName

LEAST_DEPTH = 100
"""Fewest hits that each stage is asked for."""

MOST_POWER = 10.0
"""Highest power of how far the best hit stands out; with a higher one scores could overflow."""


class HybridFusion(Protocol):
    """A rule that gives each document of several rankings one score."""

    def fuse(self, rankings: Sequence[Sequence[Hit]]) -> dict[str, float]:
        """Score of every document in any of the rankings; higher is better."""
        ...


@dataclass(frozen=True, slots=True)
class ReciprocalRankFusion:
    """The sum of 1 / (k + rank) over the rankings (Cormack et al., SIGIR 2009, with k = 60)."""

    k: float = 60.0

    def __post_init__(self) -> None:
        real_number("k", self.k, least=0)

    def fuse(self, rankings: Sequence[Sequence[Hit]]) -> dict[str, float]:
        """Score of every document in any of the rankings; higher is better."""
        fused: dict[str, float] = {}
        for ranking in rankings:
            for hit in ranking:
                fused[hit.id] = fused.get(hit.id, 0.0) + 1.0 / (self.k + hit.rank)
        return fused


@dataclass(frozen=True, slots=True)
class ScoreFusion:
    """The sum of how far a document's scores stand out, each in its own ranking.

    Of the best ``LEAST_DEPTH`` hits of a ranking, the first tenth may be relevant, and the others
    are taken for its background. A score counts as its excess over the last of them, in units of
    their mean excess, because scores of documents that are not relevant fall off exponentially
    (Manmatha, Rath and Feng, SIGIR 2001). So neither the scale nor the zero of a stage's scores
    matters, and a stage that cannot tell the documents of a query apart has little to say.

    The scores of a ranking are multiplied by its weight, and by a power of how far its best hit
    stands out, compared with the best of as many by chance. ``weights`` and ``powers`` are for BM25
    and for vectors, and were chosen on training collections (``eval/benchmarks/hybrid.py``): a
    query that the encoder knows well is decided by the vectors, and one that it does not know, such
    as one in another language, by the words.

    A document that a ranking lacks counts 0 there, like the last one of the background. Documents
    that are not among the best of any ranking follow after all others.
    """

    weights: Sequence[float] = (1.0, 1.5)
    powers: Sequence[float] = (0.0, 2.0)

    def __post_init__(self) -> None:
        weights = tuple(
            real_number("a weight", weight, least=0)
            for weight in several("weights", self.weights, one="numbers")
        )
        powers = tuple(
            real_number("a power", power, least=-MOST_POWER, most=MOST_POWER)
            for power in several("powers", self.powers, one="numbers")
        )
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "powers", powers)

    def fuse(self, rankings: Sequence[Sequence[Hit]]) -> dict[str, float]:
        """Score of every document in any of the rankings; higher is better.

        Raises InvalidInputError for another number of rankings than of weights and powers.
        """
        if not len(rankings) == len(self.weights) == len(self.powers):
            raise InvalidInputError(
                f"there are {len(rankings)} rankings to fuse, {len(self.weights)} weights and "
                f"{len(self.powers)} powers: give ScoreFusion(weights=..., powers=...) one of each "
                "for every first stage, or use ReciprocalRankFusion()"
            )
        length = min(LEAST_DEPTH, max(map(len, rankings), default=0))
        fused: dict[str, float] = {}
        below: dict[str, float] = {}
        for ranking, weight, power in zip(rankings, self.weights, self.powers, strict=True):
            floor, unit = _background([hit.score for hit in ranking[:length]], length)
            factor = 0.0
            if unit < math.inf:
                best = (ranking[0].score - floor) / unit
                factor = weight * (best / _by_chance(length)) ** power
            for hit in ranking[:length]:
                part = factor * (hit.score - floor) / unit
                fused[hit.id] = fused.get(hit.id, 0.0) + part
            for hit in ranking[length:]:
                part = factor * (hit.score - floor) / unit
                below[hit.id] = max(below.get(hit.id, part), part)
        # One below the others, so that the best documents are the same for every k.
        highest = min(fused.values(), default=0.0) - 1.0
        return {id: highest + part for id, part in below.items()} | fused


FUSIONS: Mapping[HybridName, HybridFusion] = {
    "scores": ScoreFusion(),
    "rrf": ReciprocalRankFusion(),
}
"""The fusions that an index can name."""


def hybrid_name(given: object) -> HybridName:
    """The name of a fusion. Raises InvalidInputError for an unknown one."""
    return cast("HybridName", one_of("hybrid", given, list(FUSIONS)))


def fusion_of(given: HybridFusion | HybridName) -> HybridFusion:
    """The fusion of that name, or the fusion itself. Raises InvalidInputError."""
    if isinstance(given, str):
        return FUSIONS[cast("HybridName", one_of("fusion", given, list(FUSIONS)))]
    if isinstance(given, type) or not callable(getattr(given, "fuse", None)):
        raise InvalidInputError(
            f"fusion={shown(given)} has no method fuse: give one such as ReciprocalRankFusion()"
        )
    return given


def _background(scores: Sequence[float], length: int) -> tuple[float, float]:
    """The last score of the background, and the unit of what exceeds it; equal scores have none.

    ``scores`` are the best of a ranking, descending; the longest ranking has ``length``. A shorter
    one has found all that it can: to the other documents it would give 0, as engines do.
    """
    if not scores:
        return 0.0, math.inf
    floor = scores[-1] if len(scores) == length else min(scores[-1], 0.0)
    skipped = length // 10
    excess = sum(score - floor for score in scores[skipped:]) / (length - skipped)
    # No hit stands out more than if all others of the ranking had the last score.
    unit = max(excess, (scores[0] - floor) / length)
    # Differences of the size of float32's rounding are noise, which a tiny unit would amplify.
    return floor, unit if unit > 1e-6 * max(abs(scores[0]), abs(floor)) else math.inf


@cache
def _by_chance(count: int) -> float:
    """How far the best of ``count`` scores that fall off exponentially stands out, on average."""
    return sum(1 / rank for rank in range(1, count + 1))
