"""An experiment, declared once: collections, first stages, rerankers and depths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from rerank_search.corpora.definition import IndexSettings
from rerank_search.declared import read_toml, validated
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.results import StatisticsSettings
from rerank_search.reranking.base import Dtype

MEASURES = ("nDCG@10", "MAP", "MRR@10", "R@100", "P@10", "Success@1", "Judged@10")

FirstStage = Literal["bm25", "dense", "hybrid"]
_LONGEST_NAME = 100
"""In bytes: two names, a depth and a protocol fit into the 255 that a file's name may have."""
_HIGHEST_GRADE = 999_999_999
"""Files of judgements can have no higher one."""


def checked_name(name: str, *, spaces: bool = False, longest: int = _LONGEST_NAME) -> str:
    """``name`` if files and the tag in run files can have it, otherwise InvalidInputError.

    ``spaces`` allows blanks, which a tag cannot have; ``longest`` is in bytes.
    """
    size = len(name.encode(errors="replace"))
    problems = {
        "is empty": not name,
        "stands for a folder": name in (".", ".."),
        "has a slash": "/" in name or "\\" in name,
        "has white space": not spaces and any(character.isspace() for character in name),
        "has a character that cannot be printed": not name.isprintable(),
        f"has {size} bytes, more than {longest}": size > longest,
    }
    for problem, applies in problems.items():
        if applies:
            raise InvalidInputError(
                f"the name {name!r:.120} {problem}, and files are called by it: give another name"
            )
    return name


def name_of(text: str) -> str:
    """A name made of that of a file or folder: "my notes" gives "my-notes".

    Raises InvalidInputError as ``checked_name`` does.
    """
    return checked_name("-".join(text.split()))


def _checked_title(name: str) -> str:
    """The name of an experiment, which is a folder's alone, and may be missing."""
    return checked_name(name, spaces=True, longest=255) if name else name


_Name = Annotated[str, AfterValidator(checked_name)]
_Title = Annotated[str, AfterValidator(_checked_title)]
_Depth = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CollectionSettings(_Table):
    """Where one collection is.

    ``path`` is a BEIR folder, a file of reranking samples, or labelled pairs (a file, or a folder
    with one per split); ``split`` is that of a folder, "test" unless given. A TREC collection has
    ``qrels`` instead, and any of ``topics``, ``documents`` and ``runs``. ``runs`` are further
    first stages, name to run file, and ``excluded`` a file of query and document ids to leave out
    of rankings; for a BEIR folder both are relative to it. ``ignore_identical_ids`` leaves out of
    a query's rankings the document with its id, as BEIR does. ``queries`` draws that many of the
    judged queries, always the same ones. ``index`` is an index that has the documents already,
    and is searched as it is.
    """

    path: Path | None = None
    name: _Name | None = None
    split: str | None = None
    qrels: Path | None = None
    topics: Path | None = None
    documents: Path | None = None
    runs: dict[_Name, Path] = {}
    excluded: Path | None = None
    ignore_identical_ids: bool = False
    relevant_from: int = Field(default=1, ge=1, le=_HIGHEST_GRADE)
    queries: int | None = Field(default=None, ge=1)
    index: Path | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> CollectionSettings:
        if (self.path is None) == (self.qrels is None):
            raise ValueError("give path (BEIR, samples or pairs), or qrels (TREC)")
        if self.path is not None and (self.topics or self.documents):
            raise ValueError("topics and documents go with qrels (TREC), not with path")
        if self.qrels and self.split is not None:
            raise ValueError("qrels are one split, called by their file: leave split out")
        if self.qrels and (self.documents or self.index) and not self.topics:
            raise ValueError("documents are searched for topics: give these too")
        if self.qrels and not self.documents and not self.index and not self.runs:
            raise ValueError("qrels alone measure nothing: give runs, or topics and documents")
        if taken := self.runs.keys() & set(get_args(FirstStage)):
            raise ValueError(f"a run cannot be called {min(taken)!r}, as a stage of the index is")
        return self

    def below(self, folder: Path) -> CollectionSettings:
        """The same, with relative paths taken from ``folder``."""
        base = folder if self.path is None else folder / self.path
        return self.model_copy(
            update={
                "path": None if self.path is None else base,
                "qrels": None if self.qrels is None else base / self.qrels,
                "topics": None if self.topics is None else base / self.topics,
                "documents": None if self.documents is None else base / self.documents,
                "runs": {name: base / run for name, run in self.runs.items()},
                "excluded": None if self.excluded is None else base / self.excluded,
                "index": None if self.index is None else folder / self.index,
            }
        )


class RerankerSettings(_Table):
    """A reranker: the arguments of CrossEncoderReranker, and whether its fusion is used.

    ``fusion = false`` sorts by its logit alone, under the name "NAME-logit".
    """

    model: str
    name: _Name | None = None
    fusion: bool = True
    device: str | None = None
    max_length: int | None = Field(default=None, ge=1)
    dtype: Dtype = "float32"

    @property
    def label(self) -> str:
        """The name in tables and files."""
        return self.name or name_of(Path(self.model).name) + ("" if self.fusion else "-logit")

    @model_validator(mode="after")
    def _has_a_label(self) -> RerankerSettings:
        try:
            checked_name(self.label)
        except InvalidInputError as error:
            raise ValueError(f"the reranker {self.model!r:.120}: {error}") from None
        return self


class Experiment(_Table):
    """Every collection with every first stage, reranker and depth.

    ``first_stages`` are the index's own, all that it has unless some are named; those in a
    collection's ``runs`` come on top.
    ``candidates`` are the depths. ``measures`` are named as ir-measures names them, or MAP and
    MRR@k; ``primary`` is the one that plots show, nDCG@10 unless ``measures`` lack it.
    ``sbert_at_k`` is the cut-off of sentence-transformers' numbers. Costs are measured on
    ``cost_queries`` searches a system (0: not at all).
    """

    name: _Title = "evaluation"
    collections: list[CollectionSettings] = Field(min_length=1)
    first_stages: list[FirstStage] = []
    candidates: list[_Depth] = Field(default=[100], min_length=1)
    rerankers: list[RerankerSettings] = []
    measures: list[str] = Field(default=list(MEASURES), min_length=1)
    primary: str = ""
    sbert_at_k: int = Field(default=10, ge=1)
    statistics: StatisticsSettings = StatisticsSettings()
    index: IndexSettings = IndexSettings()
    cost_queries: int = Field(default=20, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _plain_names(cls, data: Any) -> Any:
        """A bare name stands for a reranker of that name, a bare path for a collection there."""
        if not isinstance(data, dict):
            return data
        named = {"rerankers": "model", "collections": "path"}
        plain = {
            key: [{field: entry} if isinstance(entry, str) else entry for entry in data[key]]
            for key, field in named.items()
            if isinstance(data.get(key), list)
        }
        return data | plain

    @model_validator(mode="after")
    def _has_its_first_stages(self) -> Experiment:
        if self.index.encoder is False and {*self.first_stages} - {"bm25"}:
            raise ValueError("without an encoder there is no other first stage than bm25")
        return self

    @model_validator(mode="after")
    def _has_no_doubles(self) -> Experiment:
        labels = [reranker.label for reranker in self.rerankers]
        for values in (self.first_stages, self.candidates, labels):
            if len(set(map(str, values))) < len(values):
                raise ValueError(f"something stands twice in {values}; name each once")
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
        raise InvalidInputError(f"{key or 'the arguments'}: {problem['msg']}") from None
