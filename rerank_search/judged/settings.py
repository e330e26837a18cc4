"""The settings of a judged collection and of a reranker, in experiments and recipes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from rerank_search.errors import InvalidInputError
from rerank_search.judged.names import Name, checked_name, name_of
from rerank_search.models.backends.kinds import Dtype
from rerank_search.models.registry import reranker_name
from rerank_search.queries import check_instruction
from rerank_search.retrieval.registry import names

_HIGHEST_GRADE = 999_999_999
"""Highest grade that files of judgements can have."""


_URL = re.compile(r"([^/=]*=)?[a-zA-Z][a-zA-Z0-9+.-]+:/")
"""The beginning of URL or NAME=URL, also if it was made a path, which has one slash less."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CollectionSettings(_Table):
    """A collection: where it is, and how it is read.

    ``path`` is a BEIR folder, a file of reranking samples, or labelled pairs (a file, or a folder
    with one per split); ``split`` is the split of a folder, by default "test". A TREC collection
    has ``qrels`` instead, and any of ``topics``, ``documents`` and ``runs``. ``runs`` are more
    first stages, name to run file, and ``excluded`` is a file of query and document ids to leave
    out of rankings; for a BEIR folder both are relative to it. ``ignore_identical_ids`` leaves the
    document with a query's id out of the query's rankings, as BEIR does. ``queries`` draws that
    many of the judged queries, always the same ones. ``index`` is an existing index of the
    documents, which is searched unchanged. If it has vectors of your own, ``query_vectors`` is a
    file with those of the queries: JSONL or Parquet with ``id`` (or ``_id``) and ``vector``.
    """

    path: Path | None = None
    name: Name | None = None
    split: str | None = None
    qrels: Path | None = None
    topics: Path | None = None
    documents: Path | None = None
    runs: dict[Name, Path] = {}
    excluded: Path | None = None
    ignore_identical_ids: bool = False
    relevant_from: int = Field(default=1, ge=1, le=_HIGHEST_GRADE)
    queries: int | None = Field(default=None, ge=1)
    index: Path | None = None
    query_vectors: Path | None = Field(default=None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _is_on_disk(self) -> CollectionSettings:
        for name in ("path", "index"):
            if _URL.match(str(getattr(self, name))):  # not shown, since it may have a password
                raise ValueError(
                    f"{name} is a URL, and a folder or a file is needed: give a store as one of "
                    "first_stages"
                )
        return self

    @model_validator(mode="after")
    def _is_one_kind(self) -> CollectionSettings:
        if (self.path is None) == (self.qrels is None):
            raise ValueError("give either path (BEIR, samples or pairs) or qrels (TREC)")
        if self.path is not None and (self.topics or self.documents):
            raise ValueError(
                "topics and documents go with qrels (TREC), not with path: leave them out"
            )
        if self.qrels and self.split is not None:
            raise ValueError("qrels are one split with the file's name: leave split out")
        if self.qrels and (self.documents or self.index) and not self.topics:
            raise ValueError("documents need topics to search for: give topics too")
        if self.qrels and not self.documents and not self.index and not self.runs:
            raise ValueError("qrels alone cannot be evaluated: give runs, or topics and documents")
        if self.query_vectors and not self.index:
            raise ValueError("query_vectors are for an index of your own vectors: give index too")
        if taken := self.runs.keys() & set(names()):
            raise ValueError(
                f"a run cannot have the name {min(taken)!r} of a first stage: rename it"
            )
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
                "query_vectors": None
                if self.query_vectors is None
                else folder / self.query_vectors,
            }
        )


def _instruction(given: str) -> str:
    check_instruction(given)
    return given


class RerankerSettings(_Table):
    """A reranker: the arguments of CrossEncoderReranker, and whether its fusion is used.

    ``fusion = false`` sorts by the logit alone, under the name "NAME-logit". ``instruction`` says
    what makes a text relevant, to a reranker that takes one.
    """

    model: Annotated[str, AfterValidator(reranker_name)]
    name: Name | None = None
    fusion: bool = True
    device: str | None = None
    max_length: int | None = Field(default=None, ge=1)
    dtype: Dtype = "float32"
    instruction: Annotated[str, AfterValidator(_instruction)] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )

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
