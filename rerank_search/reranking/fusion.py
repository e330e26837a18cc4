"""One score from several stages: a logistic regression over reranker logit, cosine and BM25.

The model is P(relevant) = sigmoid(intercept + sum of weight * term). A term is a stage's own score
(``"rerank"``), or its z-score among the candidates of the query (``"dense:z"``), which makes scores
of different queries and engines comparable (Montague and Aslam 2001). Fitted with an
L2 penalty.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from rerank_search.arguments import real_number, several
from rerank_search.errors import InvalidInputError
from rerank_search.reranking.logistic import logistic_regression, sigmoid
from rerank_search.shown import shown

FUSION_FILE = "fusion.json"
Z_SUFFIX = ":z"
RERANK = "rerank"

Signals = Mapping[str, NDArray[np.float32] | NDArray[np.float64] | Sequence[float]]
"""The scores of one query's n candidates by stage; each of shape (n,)."""

Float64 = NDArray[np.float64]

_Term = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(:z)?$")]


class _WeightsFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    intercept: float
    weights: dict[_Term, float] = Field(min_length=1)


class _FusionFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    format: Literal["rerank-search-fusion"]
    version: Literal[1]
    models: list[_WeightsFile] = Field(min_length=1)


@dataclass(frozen=True)
class Weights:
    """One logistic regression: log-odds = intercept + sum of weight * term."""

    intercept: float
    weights: Mapping[str, float]

    @property
    def signals(self) -> frozenset[str]:
        """The stages whose scores are needed."""
        return frozenset(term.removesuffix(Z_SUFFIX) for term in self.weights)


class Fusion:
    """Logistic regressions, one for each set of stage scores that may be available.

    ``score`` uses the one with the most signals among those whose signals are all available, so
    that an index without vectors gets weights that were fitted without them.
    """

    def __init__(self, models: Sequence[Weights]) -> None:
        models = list(several("models", models, one="Weights"))
        for model in models:
            if not isinstance(model, Weights):
                raise InvalidInputError(
                    f"models has {shown(model)}: give Weights(intercept, weights)"
                )
        if not models:
            raise InvalidInputError(
                "models is empty: give at least one set of weights, or use fusion=None"
            )
        # A total order, so that ``choose`` never depends on the order in a file.
        self.models = sorted(models, key=lambda m: (-len(m.signals), sorted(m.weights)))
        if len({model.signals for model in self.models}) < len(self.models):
            raise InvalidInputError(
                "models has two sets of weights for the same signals: remove one"
            )

    def __repr__(self) -> str:
        return f"Fusion({shown(self.models)})"

    @property
    def signals(self) -> frozenset[str]:
        """All stages whose scores have a weight."""
        return frozenset().union(*(model.signals for model in self.models))

    def choose(self, available: Sequence[str] | frozenset[str]) -> Weights:
        """The weights for these signals. Raises InvalidInputError if there are none."""
        for model in self.models:
            if model.signals <= set(available):
                return model
        raise InvalidInputError(
            f"the fusion has no weights for the signals {sorted(available)}, only for "
            f"{[sorted(model.signals) for model in self.models]}: fit it for these signals, or "
            "use fusion=None"
        )

    def score(self, signals: Signals) -> Float64:
        """Log-odds of relevance of one query's candidates, float64 of shape (n,).

        z-scores are taken over exactly these candidates; where all have the same score, a single
        candidate included, their z-score is 0. Raises InvalidInputError for scores that are
        missing, not finite, or of different lengths.
        """
        model = self.choose(list(signals))
        terms = _terms(signals, list(model.weights))
        log_odds: Float64 = terms @ np.array(list(model.weights.values())) + model.intercept
        return log_odds

    @staticmethod
    def probability(log_odds: Float64) -> Float64:
        """P(relevant), for display; never sort by it."""
        return sigmoid(np.asarray(log_odds, dtype=np.float64))

    @classmethod
    def fit(
        cls,
        queries: Sequence[Signals],
        labels: Sequence[Sequence[int] | NDArray[np.int64]],
        *,
        terms: Sequence[str] = ("rerank", "dense:z", "bm25:z"),
        l2: float = 1.0,
    ) -> Fusion:
        """Fit on development queries; label 1 is relevant, 0 is not.

        Fits every set of signals among ``terms`` that contains the reranker's. ``l2`` penalises
        the squared weights of terms scaled to unit variance, so it has the same effect on every
        term; the intercept is not penalised. Raises InvalidInputError for labels that are not 0 and
        1, or all equal.
        """
        l2 = real_number("l2", l2, least=0)
        target = np.concatenate([np.asarray(own, dtype=np.float64) for own in labels])
        if set(np.unique(target)) != {0.0, 1.0}:
            raise InvalidInputError(
                "labels must be 0 or 1, and both must occur: convert grades first"
            )
        signals = sorted({term.removesuffix(Z_SUFFIX) for term in terms} - {RERANK})
        models = []
        for size in range(len(signals) + 1):
            for others in itertools.combinations(signals, size):
                chosen = [t for t in terms if t.removesuffix(Z_SUFFIX) in (RERANK, *others)]
                matrix = np.concatenate([_terms(query, chosen) for query in queries])
                if len(matrix) != len(target):
                    raise InvalidInputError(
                        f"there are {len(matrix)} candidates and {len(target)} labels: give one "
                        "label for each candidate"
                    )
                weights, intercept = logistic_regression(matrix, target, l2=l2)
                models.append(Weights(intercept, dict(zip(chosen, weights.tolist(), strict=True))))
        return cls(models)

    def save(self, directory: Path) -> None:
        """Write ``fusion.json`` into the reranker's directory."""
        content = _FusionFile(
            format="rerank-search-fusion",
            version=1,
            models=[
                _WeightsFile(intercept=model.intercept, weights=dict(model.weights))
                for model in self.models
            ],
        )
        text = json.dumps(content.model_dump(), indent=2) + "\n"
        (directory / FUSION_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def beside(cls, directory: Path) -> Fusion | None:
        """Read the fusion in a model's folder, None without one. Raises what ``load`` raises."""
        return cls.load(directory) if (directory / FUSION_FILE).is_file() else None

    @classmethod
    def load(cls, directory: Path) -> Fusion:
        """Read ``fusion.json``. Raises InvalidInputError for an invalid file."""
        path = directory / FUSION_FILE
        try:
            content = _FusionFile.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise InvalidInputError(
                f"{path} is not a valid fusion file: fit it again, or delete it to search without "
                f"fusion: {error}"
            ) from error
        return cls([Weights(model.intercept, model.weights) for model in content.models])


def _terms(signals: Signals, terms: Sequence[str]) -> Float64:
    """The terms of one query's candidates, shape (n, terms)."""
    columns = []
    for term in terms:
        name = term.removesuffix(Z_SUFFIX)
        if name not in signals:
            raise InvalidInputError(
                f"the scores of {name!r} are missing: give them besides those of {list(signals)}"
            )
        column = np.asarray(signals[name], dtype=np.float64)
        if not np.isfinite(column).all():
            raise InvalidInputError(f"the scores of {name!r} are not all finite: {column}")
        columns.append(_standardised(column) if term.endswith(Z_SUFFIX) else column)
    if len({len(column) for column in columns}) > 1:
        raise InvalidInputError(
            f"the scores of {list(terms)} differ in length: give one of each for every candidate"
        )
    return np.stack(columns, axis=1)


def _standardised(column: Float64) -> Float64:
    if len(column) == 0:
        return column
    deviation = column.std()
    # Differences of the size of float32's rounding are noise, which a z-score would amplify.
    if deviation <= 1e-6 * max(1.0, np.abs(column).max()):
        return np.zeros_like(column)
    standardised: Float64 = (column - column.mean()) / deviation
    return standardised
