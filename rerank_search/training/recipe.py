"""A training run, declared once: the TOML file and its checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rerank_search.declared import did_you_mean, read_toml, toml_value, validated
from rerank_search.errors import InvalidInputError

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Table):
    """Queries of one BEIR folder (``corpus.jsonl[.gz]``, ``queries.jsonl``, ``qrels/``)."""

    collection: Path
    split: str = "train"
    queries: int | None = Field(default=None, ge=0)
    """How many judged queries to draw at random; None takes all."""
    made_up: int = Field(default=0, ge=0)
    """How many queries to make up: a sentence cut out of a document, which the rest answers."""
    licence: str = ""
    """For the model card."""


class Negatives(_Table):
    """Where the candidates of a query come from, beside its relevant documents."""

    encoder: str = ENCODER
    depth: int = Field(default=50, ge=1)
    """Negatives are drawn from the union of the best ``depth`` of BM25 and of the encoder."""
    per_query: int = Field(default=7, ge=1)
    random: int = Field(default=1, ge=0)
    """How many of ``per_query`` are drawn from the whole collection instead."""


class SoftLabels(_Table):
    """A teacher's logit for each candidate: cosine * s + bm25 * b + gold * g.

    With the default scale of the cosine, the teacher's softmax is the likelihood that
    all-MiniLM-L6-v2 was itself trained with.
    """

    cosine: float = 20.0
    bm25: float = 0.0
    gold: float = 4.0


class FusionQueries(_Table):
    """Development queries on which the fusion of the stages is fitted after training."""

    sources: list[Source]
    encoder: str = ENCODER
    candidates: int = Field(default=50, ge=2)
    documents: int = Field(default=3000, ge=1)
    """How many documents of a source to index: the relevant ones, and others at random."""
    terms: list[str] = ["rerank", "dense:z", "bm25:z"]
    """Stage scores, as they are or (":z") standardised among the candidates of a query."""


class Recipe(_Table):
    """Everything that decides what comes out of a training run."""

    name: str
    base: str = ENCODER
    """A cross-encoder to go on from, or an encoder that gets a new classification head."""
    output: Path
    seed: int = 42
    max_length: int = Field(default=512, ge=8, le=8192)
    """Tokens of a pair, while training."""
    loss: Literal["listwise", "bce"] = "listwise"
    weights: Literal["float32", "float16"] = "float32"
    """How the weights are stored; they are float32 again when they are loaded."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    train_embeddings: bool = False
    sources: list[Source] = Field(min_length=1)
    negatives: Negatives = Negatives()
    soft_labels: SoftLabels | None = None
    fusion: FusionQueries | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Passed to sentence_transformers' CrossEncoderTrainingArguments."""

    @model_validator(mode="after")
    def _labels_fit_the_loss(self) -> Recipe:
        if self.loss == "bce" and self.soft_labels is not None:
            raise ValueError(
                "binary cross-entropy needs labels in [0, 1] and soft_labels are logits; "
                "set loss = 'listwise' or remove [soft_labels]"
            )
        return self


def load_recipe(path: Path, overrides: dict[str, str] | None = None) -> Recipe:
    """Read a recipe; paths in it are relative to its folder.

    ``overrides`` replace values by dotted key (``{"arguments.learning_rate": "3e-5"}``) and are
    read as TOML values. Raises InvalidInputError naming the key that is wrong and the nearest
    right one.
    """
    data = read_toml(path)
    for key, value in (overrides or {}).items():
        _override(data, key, value)
    recipe = validated(Recipe, data, path)
    _check_arguments(path, recipe.arguments)
    return _resolve(recipe, path.parent)


def _override(data: dict[str, Any], key: str, value: str) -> None:
    *tables, last = key.split(".")
    for table in tables:
        data = data.setdefault(table, {})
        if not isinstance(data, dict):
            raise InvalidInputError(f"{key!r} can't be set: {table!r} is not a table of the recipe")
    data[last] = toml_value(value)


def _check_arguments(path: Path, arguments: dict[str, Any]) -> None:
    if not arguments:
        return
    import dataclasses

    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    known = [field.name for field in dataclasses.fields(CrossEncoderTrainingArguments)]
    for name in arguments:
        if name not in known:
            raise InvalidInputError(
                f"{path}: unknown key 'arguments.{name}'{did_you_mean(name, known)}"
            )


def _resolve(recipe: Recipe, folder: Path) -> Recipe:
    def located(source: Source) -> Source:
        return source.model_copy(update={"collection": folder / source.collection})

    fusion = recipe.fusion
    if fusion is not None:
        fusion = fusion.model_copy(update={"sources": [located(s) for s in fusion.sources]})
    return recipe.model_copy(
        update={
            "output": folder / recipe.output,
            "sources": [located(source) for source in recipe.sources],
            "fusion": fusion,
        }
    )
