"""An experiment, declared once: collections, first stages, rerankers and depths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)

from rerank_search.corpora.definition import IndexSettings
from rerank_search.declared import read_toml, validated
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.results import StatisticsSettings
from rerank_search.import_path import checked_import_path, is_import_path
from rerank_search.judged.names import checked_name
from rerank_search.judged.settings import CollectionSettings, RerankerSettings
from rerank_search.retrieval.registry import encodes, known_name, names
from rerank_search.shown import reason
from rerank_search.stores.named import NamedStore, is_named_store, named_store

MEASURES = ("nDCG@10", "MAP", "MRR@10", "R@100", "P@10", "Success@1", "Judged@10")


def _checked_title(name: str) -> str:
    """The checked name of an experiment, which becomes a folder's name."""
    return checked_name(name, spaces=True, longest=255) if name else name


def _known_or_own(name: Any) -> str | NamedStore:
    """The checked first stage: the name of one that can be in an index, an import path, a store."""
    if isinstance(name, NamedStore):
        return name
    if not isinstance(name, str):
        raise ValueError("Input should be a valid string")
    if is_import_path(name):
        return checked_import_path(name)
    try:
        return known_name(name)
    except InvalidInputError as error:
        raise InvalidInputError(
            f"{error}. Your own is written module:object, and a store's by its URL"
        ) from None


_Stage = Annotated[str | NamedStore, PlainValidator(_known_or_own)]
_Title = Annotated[str, AfterValidator(_checked_title)]
_Depth = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Experiment(_Table):
    """Every collection with every first stage, reranker and depth.

    ``first_stages`` are those of the index, by default all, import paths (``module:object``) of
    the user's own, and URLs of stores (also ``NAME=URL``; ``URL#STAGE`` is one of its first
    stages); those in a collection's ``runs`` are added. ``candidates`` are the depths.
    ``measures`` have their names in ir-measures, or MAP and MRR@k; ``primary`` is the one that
    plots show, nDCG@10 unless ``measures`` lack it. ``sbert_at_k`` is the cut-off of
    sentence-transformers' figures. Costs are measured on ``cost_queries`` searches for each system
    (0: not measured).
    """

    name: _Title = "evaluation"
    collections: list[CollectionSettings] = Field(min_length=1)
    first_stages: list[_Stage] = []
    candidates: list[_Depth] = Field(default=[100], min_length=1)
    rerankers: list[RerankerSettings] = []
    measures: list[str] = Field(default=list(MEASURES), min_length=1)
    primary: str = ""
    sbert_at_k: int = Field(default=10, ge=1)
    statistics: StatisticsSettings = StatisticsSettings()
    index: IndexSettings = IndexSettings()
    cost_queries: int = Field(default=20, ge=0)

    @property
    def of_index(self) -> list[str]:
        """The first stages that the index of a collection has."""
        given = (each for each in self.first_stages if isinstance(each, str))
        return [name for name in given if not is_import_path(name)]

    @property
    def import_paths(self) -> list[str]:
        """The import paths of the user's own first stages."""
        given = (each for each in self.first_stages if isinstance(each, str))
        return [name for name in given if is_import_path(name)]

    @property
    def stores(self) -> list[NamedStore]:
        """The first stages that are stores."""
        return [each for each in self.first_stages if isinstance(each, NamedStore)]

    @property
    def stage_names(self) -> list[str]:
        """The names of all first stages, in their order."""
        return [each.name if isinstance(each, NamedStore) else each for each in self.first_stages]

    @model_validator(mode="before")
    @classmethod
    def _plain_names(cls, data: Any) -> Any:
        """Turn a name into a reranker, a path into a collection, and a URL into a store."""
        if not isinstance(data, dict):
            return data
        named = {"rerankers": "model", "collections": "path"}
        plain = {
            key: [{field: entry} if isinstance(entry, str) else entry for entry in data[key]]
            for key, field in named.items()
            if isinstance(data.get(key), list)
        }
        if isinstance(stages := data.get("first_stages"), list):
            # Here, because an error about one entry alone would show it, with its password.
            plain["first_stages"] = [
                named_store(each) if is_named_store(each) else each for each in stages
            ]
        return data | plain

    @model_validator(mode="after")
    def _has_its_first_stages(self) -> Experiment:
        needing = [] if self.index.encoder else [name for name in self.of_index if encodes(name)]
        if needing:
            raise ValueError(
                f"the first stage {needing[0]} needs an encoder: set index.encoder, or leave "
                f"{needing[0]} out"
            )
        return self

    @model_validator(mode="after")
    def _has_names_for_stores(self) -> Experiment:
        taken = {*names(), *(run for each in self.collections for run in each.runs)}
        for store in self.stores:
            if store.name in taken:
                raise ValueError(
                    f"a store cannot have the name {store.name!r} of another first stage: give it "
                    "one of its own, NAME=URL"
                )
        return self

    @model_validator(mode="after")
    def _has_no_doubles(self) -> Experiment:
        labels = [reranker.label for reranker in self.rerankers]
        for values in (self.stage_names, self.candidates, labels):
            if len(set(map(str, values))) < len(values):
                raise ValueError(f"{values} has duplicates: give each value once")
        return self


def load_experiment(path: Path) -> Experiment:
    """Read an experiment; its paths are relative to its folder.

    Raises InvalidInputError with the key that is wrong.
    """
    data = {"name": path.stem} | read_toml(path)
    experiment = validated(Experiment, data, path)
    collections = [settings.below(path.parent) for settings in experiment.collections]
    return experiment.model_copy(update={"collections": collections})


def experiment_of(arguments: dict[str, Any]) -> Experiment:
    """The experiment of a command line. Raises InvalidInputError naming the argument."""
    try:
        return Experiment.model_validate(arguments)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"]))
        raise InvalidInputError(f"{key or 'the arguments'}: {reason(problem)}") from None
