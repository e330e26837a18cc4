"""What a model card says of a run."""

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
    candidates before reranking, and ``base`` that of the base model in the same protocol; None
    where there is none.
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
    """What a card says beyond what sentence-transformers' trainer has noted in the model.

    ``passes`` is how often the run went through all data, ``seconds`` what training took.
    ``results`` are of the logits, without a fusion; ``confidence`` is that of their intervals.
    ``findings`` are about all data together; those of one set are in ``sets``. ``plots`` are
    pictures in the model's directory. ``calibration`` says in a sentence or two on what a
    calibration was fitted and how well it holds; empty without one.
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
