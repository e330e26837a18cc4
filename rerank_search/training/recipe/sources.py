"""The sources of training data, and how negatives and labels are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from rerank_search.built_in_stages import EVERY_INDEX
from rerank_search.retrieval.stage_name import FirstStageName
from rerank_search.training.recipe.table import Table

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


class Source(Table):
    """A source of training data: one of ``collection``, ``pairs`` and ``samples``.

    ``collection`` is a BEIR folder, for which negatives are mined. ``pairs`` are labelled pairs,
    and ``samples`` are queries with positives and negatives, in all file formats of the evaluation.
    With ``mined`` only pairs that belong together are used; negatives come from all second texts.
    """

    collection: Path | None = None
    pairs: Path | None = None
    samples: Path | None = None
    mined: bool = False
    split: str = "train"
    queries: int | None = Field(default=None, ge=0)
    """Number of queries to draw at random; None uses all."""
    made_up: int = Field(default=0, ge=0)
    """Number of queries to make up: a sentence taken out of a document, which the rest answers."""
    ignore_identical_ids: bool = False
    """Whether to leave the document with a query's id out of its candidates, whatever its text."""
    label_map: dict[str, float] = Field(default_factory=dict)
    """Map of labels in the file to labels in training: {-1 = 0.0, 0 = 0.5, 1 = 1.0}."""
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
        """Whether its documents are indexed, to mine negatives."""
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
    """Which mined negatives count as unjudged positives and are left out.

    A negative is left out if ``reranker`` scores it above the query's lowest positive minus
    ``margin`` (in logits).
    """

    reranker: str
    margin: float = 0.0


class Negatives(Table):
    """How the negatives of a collection's queries are chosen."""

    first_stages: list[FirstStageName] = Field(default=[*EVERY_INDEX], min_length=1)
    """First stages whose joined results negatives are drawn from."""
    encoder: str = ENCODER
    ranks: tuple[int, int] = (1, 50)
    """First and last rank of negatives, counted without the relevant documents."""
    margin: float | None = None
    """Smallest distance of a negative's score from that of the query's best positive, in each
    first stage that found it."""
    per_query: int = Field(default=7, ge=1)
    random: int = Field(default=1, ge=0)
    """Number of the ``per_query`` negatives that are drawn from the whole collection instead."""
    sampling: Literal["random", "top"] = "random"
    """How negatives are chosen from those in range: by seed, or the best ones."""
    positives_per_query: int | None = Field(default=1, ge=1)
    """Number of relevant documents to train a query with, each with its own negatives."""
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

    It is the sum of cosine * s, bm25 * b, gold for relevant documents, and the logits of
    ``rerankers`` (one teacher, or an ensemble). With the default scale of the cosine, the teacher's
    softmax is the likelihood that all-MiniLM-L6-v2 was itself trained with.
    """

    cosine: float = 20.0
    bm25: float = 0.0
    gold: float = 4.0
    rerankers: list[Teacher] = Field(default_factory=list)
