"""The data that a model is measured and calibrated on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from rerank_search.built_in_stages import BM25
from rerank_search.judged.names import Name
from rerank_search.judged.settings import CollectionSettings
from rerank_search.retrieval.registry import known_name
from rerank_search.training.recipe.sources import ENCODER, Source
from rerank_search.training.recipe.table import Table


def _random_or_known(name: str) -> str:
    return name if name == "random" else known_name(name)


class EvaluationSet(Table):
    """Data to measure the model on: pairs, samples, or samples made from collections.

    ``sources`` are collections; each judged query gets ``candidates`` documents, which are
    ``random`` or come from a first stage.
    """

    name: Name
    pairs: Path | None = None
    samples: Path | None = None
    split: str = "dev"
    sources: list[Source] = Field(default_factory=list)
    candidates: int = Field(default=30, ge=1)
    candidates_from: Annotated[str, AfterValidator(_random_or_known)] = BM25

    @model_validator(mode="after")
    def _is_one_kind(self) -> EvaluationSet:
        if [self.pairs is not None, self.samples is not None, bool(self.sources)].count(True) != 1:
            raise ValueError("give exactly one of pairs, samples and sources")
        if any(source.collection is None for source in self.sources):
            raise ValueError("the sources of an evaluation must be collections")
        if any(source.made_up for source in self.sources):
            raise ValueError(
                "made_up queries are for training, not for an evaluation: leave made_up out"
            )
        return self


class Evaluation(Table):
    """How a run is measured, and which checkpoint is the best.

    ``measure`` of the first set decides: one of the evaluation's measures in the ``protocol``, or
    for pairs "average_precision", "f1" or "accuracy". During training ``queries`` of each set
    (drawn by hash; for pairs ten times as many pairs) are scored, and at the end all of them.
    ``patience`` is the number of evaluations without a gain after which the run ends.
    """

    sets: list[EvaluationSet] = Field(min_length=1)
    measure: str = "nDCG@10"
    protocol: Literal["retrieved", "all_positives"] = "all_positives"
    queries: int = Field(default=200, ge=1)
    patience: int | None = Field(default=None, ge=1)
    encoder: str = ENCODER

    @field_validator("sets")
    @classmethod
    def _has_no_doubles(cls, sets: list[EvaluationSet]) -> list[EvaluationSet]:
        names = [each.name for each in sets]
        if len(set(names)) < len(names):
            raise ValueError(f"two sets have the same name: {', '.join(names)}")
        return sets


class CalibrationQueries(Table):
    """Development queries to fit the fusion and the calibration on, after training.

    This works like ``rerank-search calibrate``, on the candidates of a hybrid first stage.
    """

    sources: list[Source] = Field(min_length=1)
    encoder: str = ENCODER
    candidates: int = Field(default=50, ge=2)
    method: Literal["platt", "isotonic"] = "platt"
    fusion: bool = True

    @property
    def collections(self) -> list[CollectionSettings]:
        """The sources as the evaluation's settings."""
        return [
            CollectionSettings(
                path=source.collection,
                split=source.split,
                queries=source.queries,
                ignore_identical_ids=source.ignore_identical_ids,
            )
            for source in self.sources
        ]

    @model_validator(mode="after")
    def _is_of_collections(self) -> CalibrationQueries:
        if any(source.collection is None for source in self.sources):
            raise ValueError("the sources of a calibration must be collections")
        if any(source.made_up for source in self.sources):
            raise ValueError(
                "made_up queries are for training, not for a calibration: leave made_up out"
            )
        return self
