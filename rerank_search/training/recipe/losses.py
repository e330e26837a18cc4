"""The losses that a recipe may name: one entry of ``LOSSES`` says everything about a loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from rerank_search.training.recipe.table import Table

Layout: TypeAlias = Literal["pairs", "lists", "shares", "positives", "margins"]
"""The kinds of rows for losses; ``data.rows`` makes and describes them."""

_SBERT = "sentence_transformers.cross_encoder.losses"

_ANY = (-math.inf, math.inf)
_SHARES = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class LossTraits:
    """A loss: its class ("module:Class"), its rows, and the range of its labels.

    The class is a torch module that is made with the model, and with the recipe's options by name.
    """

    made_by: str
    layout: Layout
    labels: tuple[float, float]

    @property
    def is_listwise(self) -> bool:
        """Whether a row has all documents of a query."""
        return self.layout in ("lists", "shares")

    @property
    def is_row_by_row(self) -> bool:
        """Whether a loss without lists computes each row independently of the others."""
        return self.layout in ("pairs", "margins")

    @property
    def takes_logits(self) -> bool:
        """Whether labels may lie outside [0, 1], such as a teacher's logits."""
        return self.labels != _SHARES


LOSSES = {
    "bce": LossTraits(f"{_SBERT}:BinaryCrossEntropyLoss", "pairs", _SHARES),
    "mse": LossTraits(f"{_SBERT}:MSELoss", "pairs", _ANY),
    "listwise": LossTraits(f"{_SBERT}:ListNetLoss", "lists", _ANY),
    # Its gains are powers of two, and the largest in single precision is 2 to the 127.
    "lambda": LossTraits(f"{_SBERT}:LambdaLoss", "lists", (-math.inf, 100.0)),
    "ranknet": LossTraits(f"{_SBERT}:RankNetLoss", "lists", _ANY),
    "list-mle": LossTraits(f"{_SBERT}:ListMLELoss", "lists", _ANY),
    "cross-entropy": LossTraits(f"{_SBERT}:ListNetLoss", "shares", _SHARES),
    "multiple-negatives": LossTraits(
        f"{_SBERT}:MultipleNegativesRankingLoss", "positives", _SHARES
    ),
    "margin-mse": LossTraits(f"{_SBERT}:MarginMSELoss", "margins", _ANY),
}

UNBOUNDED = tuple(sorted(name for name, traits in LOSSES.items() if traits.takes_logits))
"""Losses whose labels may lie outside [0, 1], such as a teacher's logits."""

if TYPE_CHECKING:
    LossName: TypeAlias = str
else:
    LossName = Literal[tuple(LOSSES)]


class Loss(Table):
    """The loss to minimise. ``options`` are passed to its class."""

    name: LossName = "listwise"
    pos_weight: float | Literal["balanced"] | None = None
    """Weight of positive pairs in ``bce``; "balanced" is negatives / positives."""
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def traits(self) -> LossTraits:
        """The facts about the loss."""
        return LOSSES[self.name]

    @model_validator(mode="after")
    def _weighs_what_it_can(self) -> Loss:
        if self.pos_weight is not None and self.name != "bce":
            raise ValueError(f"pos_weight goes with bce, not with {self.name}: leave it out")
        if isinstance(self.pos_weight, float) and self.pos_weight <= 0:
            raise ValueError("pos_weight must be more than 0")
        return self
