"""From a score to a probability of relevance, for display and for thresholds.

A calibration is fitted on judged queries, and a higher score never has a lower probability. The
curve is logistic (Platt scaling, Platt 1999) or has steps (isotonic regression, Zadrozny and Elkan
2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from rerank_search.errors import InvalidInputError
from rerank_search.files import atomic_write_json
from rerank_search.reranking.fusion import Fusion, Weights
from rerank_search.reranking.logistic import logistic_regression

CALIBRATION_FILE = "calibration.json"

Float64 = NDArray[np.float64]
Values: TypeAlias = NDArray[np.float32] | NDArray[np.float64] | Sequence[float]
Labels: TypeAlias = NDArray[np.int64] | Sequence[int]
Method: TypeAlias = Literal["platt", "isotonic"]

_Probability = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Platt(_Part):
    """P(relevant) = sigmoid(slope * score + intercept)."""

    method: Literal["platt"] = "platt"
    slope: float = Field(ge=0)
    intercept: float

    def probability(self, scores: Float64) -> Float64:
        """P(relevant) of each score, of the same shape."""
        return Fusion.probability(self.slope * scores + self.intercept)

    @classmethod
    def fit(cls, scores: Values, labels: Labels) -> Platt:
        """Fit the most likely curve to Platt's smoothed targets, which keep it off 0 and 1.

        The slope is 0 where relevant documents score no higher than others. Label 1 is relevant,
        0 is not. Raises InvalidInputError for labels that are not 0 and 1, or all equal, and for
        scores that are not finite.
        """
        x, y = _checked(scores, labels)
        positives = y.sum()
        negatives = len(y) - positives
        target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        # Differences of the size of float32's rounding mean nothing. For larger ones, a product of
        # 0 or less means that any positive slope is less likely than 0.
        equal = np.ptp(x) <= 1e-6 * max(1.0, float(np.abs(x).max()))
        if equal or (x - x.mean()) @ target <= 0:
            rate = target.mean()
            return cls(slope=0.0, intercept=float(np.log(rate / (1 - rate))))
        [slope], intercept = logistic_regression(x[:, np.newaxis], target)
        return cls(slope=max(0.0, float(slope)), intercept=intercept)


class Isotonic(_Part):
    """P(relevant) on a line between neighbouring scores, and constant beyond the outer ones."""

    method: Literal["isotonic"] = "isotonic"
    scores: list[float] = Field(min_length=1)
    probabilities: list[_Probability]

    def __repr__(self) -> str:
        return f"Isotonic({len(self.scores):,} points)"

    @model_validator(mode="after")
    def _rises(self) -> Isotonic:
        if len(self.scores) != len(self.probabilities):
            raise ValueError("scores and probabilities differ in length")
        if any(a >= b for a, b in zip(self.scores, self.scores[1:], strict=False)):
            raise ValueError("scores must be strictly increasing")
        if self.probabilities != sorted(self.probabilities):
            raise ValueError("probabilities must not decrease")
        return self

    def probability(self, scores: Float64) -> Float64:
        """P(relevant) of each score, of the same shape."""
        # Rounding may push an interpolated value slightly past its two neighbours.
        return np.clip(np.interp(scores, self.scores, self.probabilities), 0.0, 1.0)

    @classmethod
    def fit(cls, scores: Values, labels: Labels) -> Isotonic:
        """Fit the nearest curve that never falls, with scikit-learn's IsotonicRegression.

        Labels and errors as in ``Platt.fit``.
        """
        from sklearn.isotonic import IsotonicRegression

        x, y = _checked(scores, labels)
        fitted = IsotonicRegression(y_min=0, y_max=1).fit(x, y)
        return cls(
            scores=fitted.X_thresholds_.tolist(), probabilities=fitted.y_thresholds_.tolist()
        )


Curve: TypeAlias = Annotated[Platt | Isotonic, Field(discriminator="method")]


class FittedOn(_Part):
    """The documents that a calibration was fitted on: the first stage's candidates."""

    model: str
    collection: str
    split: str
    first_stage: str
    candidates: int
    queries: int
    documents: int
    relevant: _Probability
    """Share of the documents judged relevant."""


class Quality(_Part):
    """How far probabilities are from the judgements; 0 is best.

    ``ece`` is the expected calibration error, ``brier`` the mean squared error.
    """

    ece: _Probability
    brier: _Probability


class HeldOut(_Part):
    """Quality on queries that were left out of the fit, in ``folds`` turns.

    ``before`` is the quality of the sigmoid of the score, ``after`` that of the calibration.
    """

    folds: int
    before: Quality
    after: Quality


class Calibration(_Part):
    """The curve for one kind of score, with what it was fitted on and its quality.

    ``fusion`` holds the weights that the score is fused with, or None for the reranker's logit.
    """

    format: Literal["rerank-search-calibration"] = "rerank-search-calibration"
    version: Literal[1] = 1
    fusion: Weights | None
    curve: Curve
    fitted_on: FittedOn
    held_out: HeldOut

    def of(self, fusion: Weights | None) -> Calibration | None:
        """This calibration if it fits the score with these weights (None: the logit), else None."""
        return self if self.fusion == fusion else None

    def probability(self, scores: Values) -> Float64:
        """P(relevant) of each score, float64 in [0, 1] of the same shape.

        For display and thresholds: sort by the score, since different scores may have the same
        probability. Raises InvalidInputError for scores that are not finite.
        """
        return self.curve.probability(_finite(scores))

    def save(self, directory: Path) -> None:
        """Write ``calibration.json`` into the directory. Raises StorageFullError and such."""
        atomic_write_json(directory / CALIBRATION_FILE, self.model_dump())

    @classmethod
    def load(cls, directory: str | Path) -> Calibration:
        """Read ``calibration.json``.

        Raises InvalidInputError for a file that is missing, is invalid, or has several
        calibrations (``Calibrations.load`` reads those).
        """
        [found, *more] = Calibrations.load(directory).calibrations
        if more:
            raise InvalidInputError(
                f"{Path(directory) / CALIBRATION_FILE} has {len(more) + 1} calibrations: load it "
                "with Calibrations.load, and choose one with `of`"
            )
        return found


class Calibrations(_Part):
    """Calibrations of a reranker, one for each kind of score that it can have.

    Which score it has depends on the index: the fusion weighs BM25 and vectors if an index has
    both, and BM25 alone if there are no vectors; without a fusion the score is the logit.
    """

    format: Literal["rerank-search-calibration"] = "rerank-search-calibration"
    version: Literal[2] = 2
    calibrations: list[Calibration] = Field(min_length=1)

    @model_validator(mode="after")
    def _are_of_different_scores(self) -> Calibrations:
        scores = [each.fusion for each in self.calibrations]
        if any(score in scores[:place] for place, score in enumerate(scores)):
            raise ValueError("there are two calibrations for the same score")
        return self

    def of(self, fusion: Weights | None) -> Calibration | None:
        """The calibration of the score with these weights (None: of the logit), or None."""
        return next((each for each in self.calibrations if each.fusion == fusion), None)

    def save(self, directory: Path) -> None:
        """Write ``calibration.json`` into the directory. Raises StorageFullError and such."""
        atomic_write_json(directory / CALIBRATION_FILE, self.model_dump())

    @classmethod
    def beside(cls, directory: Path) -> Calibrations | None:
        """Read those in a model's folder; None if there are none. Raises what ``load`` raises."""
        return cls.load(directory) if (directory / CALIBRATION_FILE).is_file() else None

    @classmethod
    def load(cls, directory: str | Path) -> Calibrations:
        """Read ``calibration.json``, with one calibration or several.

        Raises InvalidInputError for a file that is missing or invalid.
        """
        path = Path(directory) / CALIBRATION_FILE
        try:
            found = _FILE.validate_json(path.read_bytes())
        except FileNotFoundError:
            raise InvalidInputError(
                f"{path} does not exist: make it with `rerank-search calibrate`"
            ) from None
        except ValidationError as error:
            raise InvalidInputError(
                f"{path} is not a valid calibration file: delete it, and calibrate again if you "
                f"want probabilities: {error}"
            ) from error
        return found if isinstance(found, Calibrations) else cls(calibrations=[found])


_FILE: TypeAdapter[Calibration | Calibrations] = TypeAdapter(
    Annotated[Calibration | Calibrations, Field(discriminator="version")]
)


def fit_curve(method: Method, scores: Values, labels: Labels) -> Platt | Isotonic:
    """Fit a curve by this method. Labels and errors as in ``Platt.fit``."""
    return Platt.fit(scores, labels) if method == "platt" else Isotonic.fit(scores, labels)


def _checked(scores: Values, labels: Labels) -> tuple[Float64, Float64]:
    x, y = _finite(scores), np.asarray(labels, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise InvalidInputError(
            f"there are {x.size} scores and {y.size} labels: give one label for each score"
        )
    if set(np.unique(y)) != {0.0, 1.0}:
        raise InvalidInputError("labels must be 0 or 1, and both must occur: convert grades first")
    return x, y


def _finite(scores: Values) -> Float64:
    values = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InvalidInputError(
            f"the scores {values[~np.isfinite(values)][:3]} are not finite: fix the reranker"
        )
    return values
