"""A training run, declared once: the TOML file and its checks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rerank_search.declared import did_you_mean, read_toml, toml_value, validated
from rerank_search.errors import InvalidInputError
from rerank_search.judged.names import Name
from rerank_search.judged.settings import FirstStage
from rerank_search.models.registry import BUNDLED_RERANKERS
from rerank_search.training.arguments import (
    SHORT,
    check_arguments,
    is_argument,
    known_arguments,
)

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"

LossName: TypeAlias = Literal[
    "bce",
    "mse",
    "listwise",
    "lambda",
    "ranknet",
    "list-mle",
    "cross-entropy",
    "multiple-negatives",
    "margin-mse",
]

Leaks: TypeAlias = Literal["refuse", "remove", "allow"]

LISTWISE: frozenset[LossName] = frozenset(
    {"listwise", "lambda", "ranknet", "list-mle", "cross-entropy"}
)
"""Losses over all documents of a query at once."""

UNBOUNDED: frozenset[LossName] = frozenset(
    {"mse", "listwise", "lambda", "ranknet", "list-mle", "margin-mse"}
)
"""Losses whose labels may be any numbers, such as a teacher's logits."""

ROW_BY_ROW: frozenset[LossName] = frozenset({"bce", "mse", "margin-mse"})
"""Losses of a row that do not depend on the other rows of its batch, nor have lists as rows."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(_Table):
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
    label_map: dict[str, float] = {}
    """Label in the file to label in training, such as {-1 = 0.0, 0 = 0.5, 1 = 1.0}."""
    licence: str = ""
    """For the model card."""

    @field_validator("label_map", mode="before")
    @classmethod
    def _has_quoted_points(cls, value: Any) -> Any:
        for key, nested in value.items() if isinstance(value, dict) else ():
            if isinstance(nested, dict):
                label = f"{key}.{next(iter(nested), '')}"
                raise ValueError(f'quote labels that have a point in them: "{label}" = ...')
        return value

    @model_validator(mode="after")
    def _is_one_kind(self) -> Source:
        if sum(path is not None for path in (self.collection, self.pairs, self.samples)) != 1:
            raise ValueError("give one of collection, pairs and samples")
        if self.collection is None and self.made_up:
            raise ValueError("made_up queries are cut out of a collection's documents")
        if self.collection is None and self.ignore_identical_ids:
            raise ValueError("ignore_identical_ids is for the ids of a collection")
        if self.pairs is None and self.label_map:
            raise ValueError("label_map is for the labels of pairs")
        if self.pairs is None and self.mined:
            raise ValueError("mined is for pairs: a collection's negatives are mined always")
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


class FalseNegatives(_Table):
    """Which mined negatives are taken for unmarked positives, and left out.

    A negative goes if ``reranker`` scores it above the query's lowest positive less ``margin``
    (in logits).
    """

    reranker: str
    margin: float = 0.0


class Negatives(_Table):
    """Where the negatives of a collection's queries come from."""

    first_stages: list[FirstStage] = Field(default=["bm25", "dense"], min_length=1)
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
            raise ValueError("random is a part of per_query: it cannot be more")
        return self


class Teacher(_Table):
    """A reranker whose logits, times ``weight``, are part of the labels."""

    reranker: str
    weight: float = 1.0


class SoftLabels(_Table):
    """A teacher's logit for each candidate of a collection.

    The sum of cosine * s, bm25 * b, gold for relevant documents, and the logits of ``rerankers``
    (one teacher, or an ensemble). With the default scale of the cosine, the teacher's softmax is
    the likelihood that all-MiniLM-L6-v2 was itself trained with.
    """

    cosine: float = 20.0
    bm25: float = 0.0
    gold: float = 4.0
    rerankers: list[Teacher] = []


class Loss(_Table):
    """What is minimised. ``options`` are passed to sentence-transformers' class for it."""

    name: LossName = "listwise"
    pos_weight: float | Literal["balanced"] | None = None
    """Weight of positive pairs in ``bce``; "balanced" is negatives / positives."""
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _weighs_what_it_can(self) -> Loss:
        if self.pos_weight is not None and self.name != "bce":
            raise ValueError(f"pos_weight goes with bce, not with {self.name}")
        if isinstance(self.pos_weight, float) and self.pos_weight <= 0:
            raise ValueError("pos_weight is more than 0")
        return self


class EvaluationSet(_Table):
    """What the model is measured on: pairs or samples, or samples made of collections.

    ``sources`` are collections; each judged query gets ``candidates`` documents, drawn at
    ``random`` or found by a first stage.
    """

    name: Name
    pairs: Path | None = None
    samples: Path | None = None
    split: str = "dev"
    sources: list[Source] = []
    candidates: int = Field(default=30, ge=1)
    candidates_from: Literal["random"] | FirstStage = "bm25"

    @model_validator(mode="after")
    def _is_one_kind(self) -> EvaluationSet:
        if [self.pairs is not None, self.samples is not None, bool(self.sources)].count(True) != 1:
            raise ValueError("give one of pairs, samples and sources")
        if any(source.collection is None for source in self.sources):
            raise ValueError("the sources of an evaluation are collections")
        if any(source.made_up for source in self.sources):
            raise ValueError("made_up queries are for training, not for an evaluation")
        return self


class Evaluation(_Table):
    """How a run is watched, and which checkpoint is the best.

    ``measure`` of the first set decides: one of the evaluation's measures in the ``protocol``, or
    for pairs "average_precision", "f1" or "accuracy". ``queries`` of each set (drawn by hash; for
    pairs ten times as many pairs) are scored each time while the model trains, all of them at the
    end. ``patience`` ends the run after so many evaluations without a gain.
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
            raise ValueError(f"two sets have one name: {', '.join(names)}")
        return sets


class CalibrationQueries(_Table):
    """Development queries on which scores are fused and made probabilities, after training.

    As ``rerank-search calibrate`` does, on the candidates of a hybrid first stage.
    """

    sources: list[Source] = Field(min_length=1)
    encoder: str = ENCODER
    candidates: int = Field(default=50, ge=2)
    method: Literal["platt", "isotonic"] = "platt"
    fusion: bool = True

    @model_validator(mode="after")
    def _is_of_collections(self) -> CalibrationQueries:
        if any(source.collection is None for source in self.sources):
            raise ValueError("the sources of a calibration are collections")
        if any(source.made_up for source in self.sources):
            raise ValueError("made_up queries are for training, not for a calibration")
        return self


class Student(_Table):
    """The shape of a model that is smaller than its base; what is None stays as it is there."""

    layers: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=2)
    """Numbers of each token."""
    heads: int | None = Field(default=None, ge=1)
    """Of each layer's attention."""
    feed_forward: int | None = Field(default=None, ge=1)
    """Units of each layer's feed-forward part; where None, four times the width at most."""

    @model_validator(mode="after")
    def _is_smaller(self) -> Student:
        if not self.model_dump(exclude_none=True):
            raise ValueError("say what of a student is smaller: layers, width, heads, feed_forward")
        return self


class Blend(_Table):
    """Another reranker, whose weights the trained ones are averaged with in the end.

    As a rule that which the base came from: the average keeps what training forgets.
    """

    reranker: str
    share: float = Field(default=0.5, gt=0, lt=1)
    """Of its weights in the average."""


class Recipe(_Table):
    """Everything that decides what comes out of a training run."""

    name: Name
    base: str = ENCODER
    """A cross-encoder to go on from, or an encoder that gets a new classification head."""
    student: Student | None = None
    """Train a smaller model instead, which begins as the base's first layers, narrowed."""
    output: Path
    seed: int = Field(default=42, ge=0, lt=2**32, strict=True)
    max_length: int = Field(default=512, ge=8, le=8192)
    """Tokens of a pair, while training; as many as the base reads where that is fewer."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the activations; "auto" is bfloat16 where the hardware has units for it."""
    weights: Literal["float32", "float16"] = "float32"
    """How the weights are stored; they are float32 again when they are loaded."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    train_embeddings: bool = False
    batches: Literal["auto", "by_length", "random"] = "auto"
    """Of rows of about the same length, which are padded less, or of any; "auto" is by_length for
    losses that take each row by itself."""
    loss: Loss = Loss()
    sources: list[Source] = Field(min_length=1)
    negatives: Negatives = Negatives()
    soft_labels: SoftLabels | None = None
    blend: Blend | None = None
    evaluation: Evaluation | None = None
    calibration: CalibrationQueries | None = None
    leaks: Leaks = "refuse"
    """What to do with training data that the evaluation or the calibration has too."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Passed to sentence_transformers' CrossEncoderTrainingArguments."""

    @field_validator("loss", mode="before")
    @classmethod
    def _plain_name(cls, data: Any) -> Any:
        """A bare name stands for the loss with its defaults."""
        return {"name": data} if isinstance(data, str) else data

    @property
    def by_length(self) -> bool:
        """Whether the rows of a batch have about the same length."""
        if self.batches == "auto":
            return self.loss.name in ROW_BY_ROW and "batch_sampler" not in self.arguments
        return self.batches == "by_length"

    @model_validator(mode="after")
    def _batches_are_made_once(self) -> Recipe:
        if self.batches == "by_length" and "batch_sampler" in self.arguments:
            raise ValueError(
                'batches = "by_length" makes the batches, and so does arguments.batch_sampler: '
                "remove one of the two"
            )
        return self

    @model_validator(mode="after")
    def _blends_what_is_alike(self) -> Recipe:
        if self.blend is not None and self.student is not None:
            raise ValueError("a student has another shape than any [blend]: remove one of the two")
        return self

    @model_validator(mode="after")
    def _labels_fit_the_loss(self) -> Recipe:
        if self.soft_labels is not None and self.loss.name not in UNBOUNDED:
            raise ValueError(
                f"{self.loss.name} needs labels in [0, 1] and soft_labels are logits; set loss to "
                f"one of {', '.join(sorted(UNBOUNDED))}, or remove [soft_labels]"
            )
        return self


def load_recipe(path: Path, overrides: dict[str, str] | None = None) -> Recipe:
    """Read a recipe; paths in it, and models that are folders, are relative to its folder.

    ``overrides`` replace values by dotted key (``{"arguments.learning_rate": "3e-5"}``; ``lr``
    and the names of arguments may stand alone; what has a point in it is quoted) and are read as
    TOML values. Raises
    InvalidInputError naming the key that is wrong and the nearest right one.
    """
    data = read_toml(path)
    for key, value in (overrides or {}).items():
        _override(data, _full(key), value)
    recipe = validated(Recipe, data, path)
    check_arguments(path, recipe.arguments)
    located = _located(recipe, path.parent.resolve())
    given: list[Source | EvaluationSet] = [*located.sources]
    given += [] if located.evaluation is None else located.evaluation.sets
    for each in given:
        file = each.pairs or each.samples
        if file is not None and "split" in each.model_fields_set and file.is_file():
            raise InvalidInputError(f"{path}: {file} is a file, and so one split: leave split out")
    return located


def _full(key: str) -> str:
    """The dotted key: that of a trainer's argument may be given without its table."""
    key = SHORT.get(key, key)
    if "." in key or key in Recipe.model_fields:
        return key
    if is_argument(key):
        return f"arguments.{key}"
    known = [*Recipe.model_fields, *SHORT, *known_arguments()]
    raise InvalidInputError(f"unknown key {key!r}{did_you_mean(key, known)}")


_PART = re.compile(r'"[^"]+"|[^."]+')
_DOTTED = re.compile(rf"({_PART.pattern})(\.({_PART.pattern}))*")


def _override(data: Any, key: str, value: str) -> None:
    if not _DOTTED.fullmatch(key):
        raise InvalidInputError(f"{key!r} is no key, such as 'sources.0.queries'")
    *tables, last = (part.strip('"') for part in _PART.findall(key))
    if tables and isinstance(data.get("loss"), str):
        data["loss"] = {"name": data["loss"]}
    for table in tables:
        data = _entry(data, table, key)
    if not isinstance(data, dict):
        raise InvalidInputError(
            f"{key!r} can't be set: {tables[-1]!r} is a list; set a key of one of its entries, "
            f"which are numbered from 0, as in '{'.'.join(tables)}.0.{last}'"
        )
    data[last] = toml_value(value)


def _entry(data: Any, table: str, key: str) -> Any:
    """The table of that name, made if there is none; of a list the entry of that number."""
    if isinstance(data, dict):
        data = data.setdefault(table, {})
    elif table.isdecimal() and int(table) < len(data):
        data = data[int(table)]
    else:
        raise InvalidInputError(
            f"{key!r} can't be set: there is no {table!r} in a list of tables, which are numbered "
            "from 0, as in 'sources.0.queries'"
        )
    if not isinstance(data, (dict, list)):
        raise InvalidInputError(f"{key!r} can't be set: {table!r} is not a table of the recipe")
    return data


def _located(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with its paths, and the models that are folders, below ``folder``."""

    def located(value: Any, key: str = "") -> Any:
        if isinstance(value, Path):
            return folder / value.expanduser()
        if key in _MODELS and value not in BUNDLED_RERANKERS:
            model = folder / Path(value).expanduser()
            return str(model) if model.is_dir() else value
        if isinstance(value, list):
            return [located(each) for each in value]
        if isinstance(value, BaseModel):
            found = {name: located(each, name) for name, each in value}
            # Only what has changed: a default must not look as if it had been written.
            changed = {name: each for name, each in found.items() if each != getattr(value, name)}
            return value.model_copy(update=changed)
        return value

    found: Recipe = located(recipe)
    # A link stays: the finished model is put where it leads to.
    return found.model_copy(update={"output": found.output.resolve()})


_MODELS = {"base", "encoder", "reranker"}
"""Keys whose value is the name of a model, or its folder."""
