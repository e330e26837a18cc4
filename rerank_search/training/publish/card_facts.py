"""The facts about a run in a model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from rerank_search.judged.findings import Finding
from rerank_search.training.recipe.recipe import Recipe

if TYPE_CHECKING:
    from rerank_search.training.data.groups import TrainingSet

MeasuredBy: TypeAlias = Literal["retrieved", "all_positives", "sbert", "pairs"]
"""A protocol of the evaluation; "pairs" is the classification of labelled pairs."""


@dataclass(frozen=True, slots=True)
class Result:
    """One figure of the finished model: ``measure`` on the evaluation set ``name``.

    ``low`` and ``high`` are its confidence interval, ``first_stage`` is the figure of the
    candidates before reranking, and ``base`` that of the base model in the same protocol. Each is
    None if it does not exist.
    """

    name: str
    protocol: MeasuredBy
    measure: str
    value: float
    low: float | None = None
    high: float | None = None
    first_stage: float | None = None
    base: float | None = None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """The facts of a card that are not in sentence-transformers' card data of the model.

    ``passes`` is the number of passes over all data, ``seconds`` the training time. ``results`` are
    of the logits, without a fusion; ``confidence`` is that of their intervals. ``findings`` are
    about all data together; those about one set are in ``sets``. ``plots`` are pictures in the
    model's directory. ``calibration`` describes the data and the quality of the calibration in a
    sentence or two; it is empty without one.
    """

    recipe: Recipe
    sets: Sequence[TrainingSet]
    passes: float
    seconds: float
    precision: str
    hardware: str
    results: Sequence[Result] = ()
    confidence: float = 0.95
    findings: Sequence[Finding] = ()
    plots: Sequence[str] = ()
    calibration: str = ""
