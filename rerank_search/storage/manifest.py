"""The description of an index, manifest.json, written at creation and after each publication."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rerank_search.errors import (
    IndexCorruptedError,
    IndexFormatError,
    IndexNotFoundError,
)
from rerank_search.files import atomic_write_bytes, sha256
from rerank_search.index_names import DOCUMENTS, MANIFEST
from rerank_search.models.prompts import Prompts
from rerank_search.storage.passages import Passages
from rerank_search.types import HybridName, VectorDtype

FORMAT_VERSION = 1


def _left_out_if_none() -> Any:
    """A field that the file has only if it is set, as it was before there was this field."""
    return Field(default=None, exclude_if=lambda value: value is None)


class Bm25Settings(BaseModel):
    """The engine of BM25 and its parameters.

    ``tantivy`` takes adds and deletes as they come and has fixed parameters; ``bm25s`` is for
    fixed collections, because each update builds everything again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Literal["tantivy", "bm25s"] = "tantivy"
    k1: float = Field(default=1.2, ge=0)
    b: float = Field(default=0.75, ge=0, le=1)
    variant: str = "lucene"

    @model_validator(mode="after")
    def _fixed_parameters(self) -> Bm25Settings:
        chosen = (self.k1, self.b, self.variant)
        if self.engine == "tantivy" and chosen != (1.2, 0.75, "lucene"):
            raise ValueError(
                f"tantivy supports only k1=1.2, b=0.75 and the lucene variant, not k1={self.k1}, "
                f"b={self.b}, {self.variant}: choose engine='bm25s' to set them"
            )
        return self


class EncoderRecord(BaseModel):
    """The encoder of the vectors. ``probe`` is its vector of a fixed sentence, to identify it.

    ``prompts`` were put before queries and documents. None means an index of an earlier version,
    which encoded both alike, with the encoder's default prompt if it has one. ``query_prompt``,
    ``document_prompt`` and ``truncate_dim`` are the encoder's arguments, where they were given.
    ``pooling`` says how it makes one vector of those of a text's tokens.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    revision: str | None
    dimension: int
    normalised: bool
    probe: list[float]
    prompts: Prompts | None = None
    query_prompt: str | None = _left_out_if_none()
    document_prompt: str | None = _left_out_if_none()
    truncate_dim: int | None = _left_out_if_none()
    pooling: str | None = _left_out_if_none()

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that the encoder was made with, beside its name."""
        return {
            "revision": self.revision,
            "query_prompt": self.query_prompt,
            "document_prompt": self.document_prompt,
            "truncate_dim": self.truncate_dim,
        }


class SparseEncoderRecord(BaseModel):
    """The encoder of the sparse vectors, whose ``dimension`` is the size of its vocabulary.

    ``probe`` has the largest weights of its vector of a fixed sentence, by their dimensions, to
    identify it. ``prompts`` are put before queries and documents. ``query_prompt`` and
    ``document_prompt`` are the encoder's arguments, where they were given.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    revision: str | None
    dimension: int
    prompts: Prompts
    probe: dict[int, float]
    query_prompt: str | None = _left_out_if_none()
    document_prompt: str | None = _left_out_if_none()

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that the encoder was made with, beside its name."""
        return {
            "revision": self.revision,
            "query_prompt": self.query_prompt,
            "document_prompt": self.document_prompt,
        }


class LanguageSample(BaseModel):
    """The languages of some documents, taken when the index had ``documents`` of them.

    ``sampled`` counts those that were read, and ``found`` those of each language, by its ISO 639-1
    code, most frequent first. Of others, such as code and numbers, the language is not known.
    """

    model_config = ConfigDict(frozen=True)

    documents: int
    sampled: int
    found: dict[str, int]


class Published(BaseModel):
    """The last publication: counts, and checksums of the files that never change."""

    model_config = ConfigDict(frozen=True)

    seq: int = 0
    documents: int = 0
    passages: int = 0
    checksums: dict[str, str] = Field(default_factory=dict)
    languages: LanguageSample | None = _left_out_if_none()


class Manifest(BaseModel):
    """The settings of an index, and its last publication.

    ``first_stages`` has the first stages beyond those of every index, with their kinds.
    ``hybrid`` is the fusion of BM25 and the vectors; an index of an earlier version names none.
    ``dimension`` is the length of the vectors that documents bring with them, in an index without
    an encoder. ``stop_words`` are left out of BM25's queries; "language" is the analyzer's list.
    """

    model_config = ConfigDict(frozen=True)

    format_version: int = FORMAT_VERSION
    created: datetime
    encoder: EncoderRecord | None
    dimension: int | None = _left_out_if_none()
    analyzer: str
    stop_words: Literal["language"] | tuple[str, ...] | None = _left_out_if_none()
    bm25: Bm25Settings
    passages: Passages | None
    vector_dtype: VectorDtype
    hnsw_above: int = Field(ge=0)
    hybrid: HybridName = Field(default="rrf", exclude_if=lambda value: value == "rrf")
    first_stages: dict[str, Literal["engine", "combined"]] = Field(
        default={}, exclude_if=operator.not_
    )
    sparse_encoder: SparseEncoderRecord | None = _left_out_if_none()
    published: Published = Published()

    @property
    def has_vectors(self) -> bool:
        """Whether the index has vectors, by an encoder or the user's own."""
        return self.encoder is not None or self.dimension is not None

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """The manifest of an index.

        Raises IndexNotFoundError, IndexFormatError for a newer format, IndexCorruptedError.
        """
        path = directory / MANIFEST
        try:
            content = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _missing(directory) from error
        except ValueError as error:
            raise _damaged(path, str(error)) from error
        version = content.get("format_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise IndexFormatError(
                f"{directory} has format {version}, and this version of rerank-search reads "
                f"formats up to {FORMAT_VERSION}: upgrade it with `pip install -U rerank-search`"
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise _damaged(path, str(error)) from error

    def write(self, directory: Path) -> None:
        """Publish the manifest. Raises StorageFullError, IndexReadOnlyError."""
        data = self.model_dump_json(indent=1).encode()
        atomic_write_bytes(directory / MANIFEST, data + b"\n")


def checksums(directory: Path, immutable: Iterable[Path], known: dict[str, str]) -> dict[str, str]:
    """SHA-256 of each file, by its path below ``directory``; ``known`` ones are not read again."""
    found: dict[str, str] = {}
    for file in immutable:
        name = file.relative_to(directory).as_posix()
        try:
            found[name] = known.get(name) or sha256(file)
        except FileNotFoundError:  # removed by a merge in the meantime
            continue
    return found


def checksum_problems(directory: Path, expected: dict[str, str]) -> list[str]:
    """Problems of files that exist but differ from what was published."""
    return [
        f"{name} has changed since it was published: run `rerank-search index rebuild`"
        for name, checksum in sorted(expected.items())
        if (directory / name).exists() and sha256(directory / name) != checksum
    ]


def _missing(directory: Path) -> IndexNotFoundError | IndexCorruptedError:
    if (directory / DOCUMENTS).exists():
        return _damaged(directory / MANIFEST, "it is missing")
    definition = directory.parent / f"{directory.name}.toml"  # "." and "/" have no name
    if definition.is_file():
        way = f"make it from its definition, `rerank-search index build {definition}`"
    else:
        way = "make one with Index.create or `rerank-search index create`"
    return IndexNotFoundError(f"there is no index at {directory}: check the path, or {way}")


def _damaged(path: Path, reason: str) -> IndexCorruptedError:
    return IndexCorruptedError(
        f"{path} is damaged ({reason}): restore it from a copy, or, if creating the index was "
        "interrupted, delete its folder and create it again"
    )
