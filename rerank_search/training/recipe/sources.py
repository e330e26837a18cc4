"""Where training data come from, and how negatives and labels are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from rerank_search.retrieval.stage_name import FirstStageName
from rerank_search.training.recipe.table import Table

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


class Source(Table):
    """Where training data come from: one of ``collection``, ``pairs`` and ``samples``.

    ``collection`` is a BEIR folder, whose negatives are mined. ``pairs`` are labelled pairs, and
    ``samples`` queries with their positives and negatives, in all file formats of the evaluation.
    Of ``mined`` pairs those that belong together count; negatives come from all second texts.
    """

    collection: Path | None = None
    pairs: Path | None = None
    samples: Path | None = None
    mined: bool = False
    split: str = "train"
    queries: int | None = Field(default=None, ge=0)
    """How many of the queries to draw at random; None takes all."""
    made_up: int = Field(default=0, ge=0)
    """How many queries to make up: a sentence cut out of a document, which the rest answers."""
    ignore_identical_ids: bool = False
    """Leave the document with a query's id out of its candidates, whatever its text is."""
    label_map: dict[str, float] = Field(default_factory=dict)
    """Label in the file to label in training, such as {-1 = 0.0, 0 = 0.5, 1 = 1.0}."""
    licence: str = ""
    """Licence of the data, for the model card."""

    @field_validator("label_map", mode="before")
    @classmethod
    def _has_quoted_points(cls, value: Any) -> Any:
        for key, nested in value.items() if isinstance(value, dict) else ():
            if isinstance(nested, dict):
                label = f"{key}.{next(iter(nested), '')}"
                raise ValueError(f'quote labels that contain a point: "{label}" = ...')
        return value

    @model_validator(mode="after")
    def _is_one_kind(self) -> Source:
        if sum(path is not None for path in (self.collection, self.pairs, self.samples)) != 1:
            raise ValueError("give exactly one of collection, pairs and samples")
        if self.collection is None and self.made_up:
            raise ValueError(
                "made_up queries need a collection, whose documents they are taken from"
            )
        if self.collection is None and self.ignore_identical_ids:
            raise ValueError("ignore_identical_ids needs a collection, whose ids it compares")
        if self.pairs is None and self.label_map:
            raise ValueError("label_map is for the labels of pairs: leave it out")
        if self.pairs is None and self.mined:
            raise ValueError(
                "mined is for pairs, because negatives of a collection are always mined: leave it "
                "out"
            )
        return self

    @property
    def is_searched(self) -> bool:
        """Whether there is an index of its documents, that negatives come from."""
        return self.collection is not None or self.mined

    @property
    def path(self) -> Path:
        """The folder or file."""
        paths = (self.collection, self.pairs, self.samples)
        return next(path for path in paths if path is not None)

    @property
    def name(self) -> str:
        """The folder's name, or that of the file's folder."""
        path = self.path.resolve()
        return path.parent.name if path.is_file() else path.name


class FalseNegatives(Table):
    """Which mined negatives are taken for unmarked positives, and left out.

    A negative goes if ``reranker`` scores it above the query's lowest positive less ``margin``
    (in logits).
    """

    reranker: str
    margin: float = 0.0


class Negatives(Table):
    """Where the negatives of a collection's queries come from."""

    first_stages: list[FirstStageName] = Field(default=["bm25", "dense"], min_length=1)
    """Negatives are drawn from the union of what these find."""
    encoder: str = ENCODER
    ranks: tuple[int, int] = (1, 50)
    """First and last rank, after the relevant documents are taken out."""
    margin: float | None = None
    """Only documents that score at least this much below the query's best positive, in each
    first stage that found them."""
    per_query: int = Field(default=7, ge=1)
    random: int = Field(default=1, ge=0)
    """How many of ``per_query`` are drawn from the whole collection instead."""
    sampling: Literal["random", "top"] = "random"
    """Drawn by seed from those in range, or the best of them."""
    positives_per_query: int | None = Field(default=1, ge=1)
    """How many relevant documents a query is trained with, each with its own negatives."""
    false_negatives: FalseNegatives | None = None

    @field_validator("ranks")
    @classmethod
    def _is_a_range(cls, ranks: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= ranks[0] <= ranks[1]:
            raise ValueError("write the first and the last rank, counted from 1: [1, 50]")
        return ranks

    @model_validator(mode="after")
    def _has_room_for_the_random_ones(self) -> Negatives:
        if self.random > self.per_query:
            raise ValueError("random is a part of per_query, so it cannot be larger")
        return self


class Teacher(Table):
    """A reranker whose logits, times ``weight``, are part of the labels."""

    reranker: str
    weight: float = 1.0


class SoftLabels(Table):
    """A teacher's logit for each candidate of a collection.

    The sum of cosine * s, bm25 * b, gold for relevant documents, and the logits of ``rerankers``
    (one teacher, or an ensemble). With the default scale of the cosine, the teacher's softmax is
    the likelihood that all-MiniLM-L6-v2 was itself trained with.
    """

    cosine: float = 20.0
    bm25: float = 0.0
    gold: float = 4.0
    rerankers: list[Teacher] = Field(default_factory=list)
