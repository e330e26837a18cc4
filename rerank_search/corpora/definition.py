"""The definition of an index, indexes/NAME.toml, and the index that is built from it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from rerank_search.arguments import check_function
from rerank_search.built_in_stages import EVERY_INDEX, NEW_HYBRID, SPARSE
from rerank_search.compute import HERE, Compute
from rerank_search.corpora.lines import VectorColumn
from rerank_search.corpora.python_docs import python_docs
from rerank_search.corpora.readers import SkippedLines, count_documents, read_documents
from rerank_search.corpora.repeated import RepeatedIds
from rerank_search.declared import read_toml, validated
from rerank_search.errors import IndexMismatchError, InvalidInputError
from rerank_search.index import Index
from rerank_search.index_names import is_file_of_index, is_index
from rerank_search.models.registry import AUTO, encoder_name
from rerank_search.progress import Progress, quiet
from rerank_search.retrieval.analysis import AnalyzerName, StopWords, checked_stop_words
from rerank_search.retrieval.base import TextEncoder
from rerank_search.retrieval.encoders import encoder_of
from rerank_search.retrieval.registry import is_engine
from rerank_search.retrieval.stage_name import FirstStageName
from rerank_search.storage.manifest import Bm25Settings, Manifest
from rerank_search.storage.passages import Passages
from rerank_search.types import Document, HybridName, VectorDtype

_OF_ENCODER = ("query_prompt", "document_prompt", "truncate_dim")
"""Settings that only an index with an encoder has."""


def _is_none(value: object) -> bool:
    return value is None


class IndexSettings(BaseModel):
    """The settings of an index: the arguments of Index.create.

    ``first_stages`` names further first stages; bm25, dense and hybrid need not be named.
    Without ``hybrid`` a new index has the usual fusion, and an existing one keeps its own.

    TOML has no null: ``encoder = false`` makes an index without a dense stage (with ``dimension``:
    of your own vectors), ``passages = false`` one whose documents are not split.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: Annotated[str, AfterValidator(encoder_name)] | Literal[False] = Field(
        default=AUTO, validate_default=True
    )
    query_prompt: str | None = Field(default=None, exclude_if=_is_none)
    document_prompt: str | None = Field(default=None, exclude_if=_is_none)
    truncate_dim: int | None = Field(default=None, ge=1, exclude_if=_is_none)
    dimension: int | None = Field(default=None, ge=1, exclude_if=_is_none)
    sparse_encoder: str | None = Field(default=None, exclude_if=_is_none)
    analyzer: AnalyzerName = "english"
    stop_words: StopWords | None = Field(default=None, exclude_if=_is_none)
    passages: Passages | Literal[False] = Passages()
    bm25: Bm25Settings = Bm25Settings()
    vector_dtype: VectorDtype = "float32"
    hnsw_above: int = Field(default=200_000, ge=0)
    hybrid: HybridName | None = Field(default=None, exclude_if=_is_none)
    first_stages: list[FirstStageName] = Field(default=[], exclude_if=operator.not_)

    @field_validator("stop_words", mode="before")
    @classmethod
    def _usable_stop_words(cls, given: Any, fields: ValidationInfo) -> Any:
        analyzer = fields.data.get("analyzer")
        return given if analyzer is None else checked_stop_words(analyzer, given)

    def with_first_stages(self, names: Iterable[str]) -> IndexSettings:
        """The same settings with these first stages added. Raises PluginError."""
        more = [name for name in names if name not in EVERY_INDEX and is_engine(name)]
        return self.model_copy(
            update={"first_stages": list(dict.fromkeys([*self.first_stages, *more]))}
        )

    @model_validator(mode="after")
    def _has_what_an_encoder_needs(self) -> IndexSettings:
        if self.encoder is False:
            for name in _OF_ENCODER:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} needs an encoder: leave it out, or set encoder")
        elif self.dimension is not None:
            raise ValueError("dimension is for vectors of your own: set encoder = false too")
        return self

    @model_validator(mode="after")
    def _has_what_sparse_needs(self) -> IndexSettings:
        if self.sparse_encoder is None and SPARSE in self.first_stages:
            raise ValueError(f"the first stage {SPARSE} needs a sparse_encoder: set it too")
        return self

    @property
    def all_first_stages(self) -> list[str]:
        """The further first stages, with the one that a sparse encoder brings."""
        sparse = [] if self.sparse_encoder is None else [SPARSE]
        return list(dict.fromkeys([*self.first_stages, *sparse]))

    def without_encoder(self) -> IndexSettings:
        """The same settings for an index without vectors."""
        return self.model_copy(update={"encoder": False} | dict.fromkeys(_OF_ENCODER))

    def encoder_on(self, compute: Compute) -> TextEncoder | None:
        """The encoder, computed there; None if there is none."""
        if self.encoder is False:
            return None
        return compute.encoder(
            encoder_of(
                self.encoder,
                query_prompt=self.query_prompt,
                document_prompt=self.document_prompt,
                truncate_dim=self.truncate_dim,
            )
        )

    def create_index(
        self, path: Path, *, lock_timeout: float | None = None, compute: Compute = HERE
    ) -> Index:
        """Create an empty index. Raises what Index.create raises."""
        return Index.create(
            path,
            encoder=self.encoder_on(compute),
            dimension=self.dimension,
            sparse_encoder=self.sparse_encoder,
            analyzer=self.analyzer,
            stop_words=self.stop_words,
            passages=self.passages or None,
            bm25=self.bm25,
            vector_dtype=self.vector_dtype,
            hnsw_above=self.hnsw_above,
            hybrid=self.hybrid or NEW_HYBRID,
            first_stages=self.first_stages,
            lock_timeout=lock_timeout,
        )


class Definition(IndexSettings):
    """The settings of an index and the source of its documents.

    ``source = "python-docs"`` is the documentation of the running interpreter; otherwise ``files``
    names JSONL, CSV, TSV and Parquet files, relative to the definition, with ``*`` and ``?``
    allowed. With ``dimension`` each document has its vector in the key or column ``vectors``.
    """

    source: Literal["python-docs", "files"] = "files"
    files: list[str] = []
    vectors: str = "vector"

    @model_validator(mode="after")
    def _has_one_source(self) -> Definition:
        if (self.source == "files") != bool(self.files):
            raise ValueError('give files = ["corpus.jsonl"], or source = "python-docs" alone')
        return self


@dataclass(frozen=True, slots=True)
class Built:
    """An index that matches its definition, and the changes that this took.

    ``written`` counts new and changed documents, ``deleted`` those that the source no longer has,
    ``replaced`` those that a later document of the source with the same id replaced.
    """

    index: Path
    documents: int
    written: int
    deleted: int
    replaced: int = 0


def load_definition(path: Path) -> Definition:
    """Read a definition; its files are found relative to its folder.

    The files of an index are not read as documents. Raises InvalidInputError with the invalid key,
    or the pattern that no file of documents matches.
    """
    definition = validated(Definition, read_toml(path), path)
    return definition.model_copy(update={"files": _found(definition.files, path.parent)})


def documents_of(definition: Definition, skipped: SkippedLines | None = None) -> Iterator[Document]:
    """The documents that a definition names, streamed.

    Malformed lines are counted in ``skipped`` and skipped; without ``skipped`` they raise
    InvalidDocumentError (see ``read_documents``).
    """
    if definition.source == "python-docs":
        yield from python_docs()
    vectors = None
    if definition.dimension is not None:
        vectors = VectorColumn(definition.dimension, definition.vectors)
    for file in definition.files:
        yield from read_documents(file, skipped=skipped, vectors=vectors)


def build_index(
    definition: Definition,
    folder: Path,
    *,
    only: Callable[[Document], bool] | None = None,
    skipped: SkippedLines | None = None,
    progress: Progress = quiet,
    lock_timeout: float | None = None,
    compute: Compute = HERE,
) -> Built:
    """Make the index of a definition in ``folder`` (see ``index_names.index_of``).

    An existing index is brought up to date: new and changed documents are written, those that the
    source no longer has are deleted, and a ``hybrid`` that it names is set. A repeated call
    continues after an interruption.
    ``only`` says which documents to write now; then none is deleted, and a later call without it
    adds the rest. ``lock_timeout`` as in Index.open. ``compute`` says where passages are encoded.
    Raises InvalidDocumentError (see
    ``read_documents``), IndexMismatchError if the index was made with other settings, and what
    Index raises.
    """
    check_function("progress", progress)
    with _opened(definition, folder, lock_timeout, compute) as index:
        repeated = RepeatedIds()
        source, total = _counted(definition, skipped)
        if only is not None:
            source = list(filter(only, source))
            total = len(source)
        with progress(f"indexing {folder.name}", total) as tick:
            written = index.add(repeated.watched(source), progress=tick)
        gone = [id for id in index.ids() if id not in repeated.seen] if only is None else []
        deleted = index.delete(gone)
        return Built(folder, len(index), written, deleted, repeated.count)


def _counted(
    definition: Definition, skipped: SkippedLines | None
) -> tuple[Iterable[Document], int]:
    """The documents and their number."""
    if definition.source == "python-docs":
        documents = list(documents_of(definition))
        return documents, len(documents)
    return documents_of(definition, skipped), sum(map(count_documents, definition.files))


def _found(patterns: list[str], folder: Path) -> list[str]:
    found: list[str] = []
    for pattern in patterns:
        # Path.glob does not accept absolute patterns.
        matches = sorted(glob(str(folder / pattern), recursive=True))  # noqa: PTH207
        files = [match for match in matches if Path(match).is_file()]
        documents = [file for file in files if not is_file_of_index(Path(file))]
        if not documents:
            raise InvalidInputError(f"{folder / pattern}: {_none_found(matches, files)}")
        found.extend(documents)
    return list(dict.fromkeys(found))


def _none_found(matches: list[str], files: list[str]) -> str:
    if files:
        return f"there are only files of an index, such as {files[0]}: give files of documents"
    if matches:
        return f"{matches[0]} is a folder: give the files in it, as in folder/*.jsonl"
    return "there is no such file"


def _opened(
    definition: Definition, folder: Path, lock_timeout: float | None, compute: Compute
) -> Index:
    if not is_index(folder):
        return definition.create_index(folder, lock_timeout=lock_timeout, compute=compute)
    manifest = Manifest.read(folder)
    _check_settings(definition, manifest, folder)
    encoder, built = None, manifest.encoder
    if built is not None:
        encoder = compute.encoder(encoder_of(built.name, **built.arguments))
    index = Index.open(folder, encoder=encoder, lock_timeout=lock_timeout)
    if manifest.has_vectors and definition.hybrid not in (None, manifest.hybrid):
        try:
            index.set_hybrid(definition.hybrid)
        except BaseException:
            index.close()
            raise
    return index


def _check_settings(definition: Definition, manifest: Manifest, folder: Path) -> None:
    built = manifest.encoder
    wanted = definition.passages if definition.dimension is None else False
    if wanted and wanted.tokens is None and manifest.passages:
        # For None the manifest has the encoder's window.
        wanted = wanted.model_copy(update={"tokens": manifest.passages.tokens})
    for key, now, made in (
        ("encoder", definition.encoder, built.name if built else False),
        ("dimension", definition.dimension, manifest.dimension),
        *((name, getattr(definition, name), getattr(built, name, None)) for name in _OF_ENCODER),
        (
            "sparse_encoder",
            definition.sparse_encoder,
            manifest.sparse_encoder.name if manifest.sparse_encoder else None,
        ),
        ("analyzer", definition.analyzer, manifest.analyzer),
        ("stop_words", definition.stop_words, manifest.stop_words),
        ("passages", wanted, manifest.passages or False),
        ("bm25", definition.bm25, manifest.bm25),
        ("vector_dtype", definition.vector_dtype, manifest.vector_dtype),
        ("hnsw_above", definition.hnsw_above, manifest.hnsw_above),
        ("first_stages", definition.all_first_stages, list(manifest.first_stages)),
    ):
        if now != made:
            raise IndexMismatchError(
                f"{folder} was made with {key} = {made!r}, and its definition says {now!r}: "
                "remove the folder and build again, or restore the definition"
            )
