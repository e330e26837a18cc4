"""A training run, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from rerank_search.judged.names import Name
from rerank_search.training.recipe.losses import UNBOUNDED, Loss
from rerank_search.training.recipe.measuring import CalibrationQueries, Evaluation
from rerank_search.training.recipe.sources import ENCODER, Negatives, SoftLabels, Source
from rerank_search.training.recipe.table import Table

Leaks: TypeAlias = Literal["refuse", "remove", "allow"]


class Student(Table):
    """The shape of a model that is smaller than its base; None means as in the base."""

    layers: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=2)
    """Size of the state of each token."""
    heads: int | None = Field(default=None, ge=1)
    """Attention heads of each layer."""
    feed_forward: int | None = Field(default=None, ge=1)
    """Units of each layer's feed-forward part; if None, at most four times the width."""

    @model_validator(mode="after")
    def _is_smaller(self) -> Student:
        if not self.model_dump(exclude_none=True):
            raise ValueError(
                "a student needs at least one of layers, width, heads and feed_forward"
            )
        return self


class Blend(Table):
    """Another reranker, whose weights are averaged with the trained ones at the end.

    It is usually the one that the base came from: the average keeps what training forgets.
    """

    reranker: str
    share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the other reranker's weights in the average."""


class Recipe(Table):
    """Everything that decides the result of a training run."""

    name: Name
    base: str = ENCODER
    """A cross-encoder to start from, or an encoder that gets a new classification head."""
    student: Student | None = None
    """Train a smaller model instead, which begins as the base's first layers, narrowed."""
    output: Path
    seed: int = Field(default=42, ge=0, lt=2**32, strict=True)
    max_length: int = Field(default=512, ge=8, le=8192)
    """Tokens of a pair in training; fewer if the base reads fewer."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the activations; "auto" is bfloat16 if the hardware has units for it."""
    weights: Literal["float32", "float16"] = "float32"
    """Precision of the stored weights; they are loaded as float32."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    train_embeddings: bool = False
    batches: Literal["auto", "by_length", "random"] = "auto"
    """Batches of rows of similar length, which need less padding, or of random rows; "auto" is
    by_length for losses that use each row by itself."""
    loss: Loss = Loss()
    sources: list[Source] = Field(min_length=1)
    negatives: Negatives = Negatives()
    soft_labels: SoftLabels | None = None
    blend: Blend | None = None
    evaluation: Evaluation | None = None
    calibration: CalibrationQueries | None = None
    leaks: Leaks = "refuse"
    """What to do with training data that are also in the evaluation or the calibration."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments for sentence_transformers' CrossEncoderTrainingArguments."""

    @field_validator("loss", mode="before")
    @classmethod
    def _plain_name(cls, data: Any) -> Any:
        """Turn a bare name into the loss with its defaults."""
        return {"name": data} if isinstance(data, str) else data

    def beside(self, what: Literal["data", "checkpoints", "evaluation"]) -> Path:
        """The folder of the run's data, checkpoints or evaluation, next to the model's."""
        return self.output.with_name(f"{self.output.name}-{what}")

    @property
    def by_length(self) -> bool:
        """Whether the rows of a batch have similar lengths."""
        if self.batches == "auto":
            return self.loss.traits.is_row_by_row and "batch_sampler" not in self.arguments
        return self.batches == "by_length"

    @model_validator(mode="after")
    def _batches_are_made_once(self) -> Recipe:
        if self.batches == "by_length" and "batch_sampler" in self.arguments:
            raise ValueError(
                'both batches = "by_length" and arguments.batch_sampler make the batches: '
                "remove one of the two"
            )
        return self

    @model_validator(mode="after")
    def _blends_what_is_alike(self) -> Recipe:
        if self.blend is not None and self.student is not None:
            raise ValueError(
                "a student has another shape than the reranker of [blend]: remove one of the two"
            )
        return self

    @model_validator(mode="after")
    def _labels_fit_the_loss(self) -> Recipe:
        if self.soft_labels is not None and not self.loss.traits.takes_logits:
            raise ValueError(
                f"{self.loss.name} needs labels in [0, 1], and soft_labels are logits: set loss "
                f"to one of {', '.join(UNBOUNDED)}, or remove [soft_labels]"
            )
        return self
