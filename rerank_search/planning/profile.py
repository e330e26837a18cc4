"""The costs of one kind of machine, as measured: a JSON file that ``plan`` reads and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from rerank_search.declared import validated
from rerank_search.errors import InvalidInputError
from rerank_search.files import atomic_write_bytes, make_folder
from rerank_search.shown import shown
from rerank_search.types import VectorDtype

MOST = 10**18
"""Most words, vectors, tokens or bytes; a bound that keeps the arithmetic of plans finite."""

Time = Annotated[float, Field(ge=1e-12, le=1e6)]
"""Seconds of one call, or of a part of one."""

Size = Annotated[int, Field(ge=1, le=MOST)]
Bytes = Annotated[float, Field(gt=0, le=MOST)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Timed(_Table):
    """Seconds of calls of one size: words or vectors that are searched, or tokens that are read."""

    size: Size
    seconds: Annotated[list[Time], Field(min_length=1)]


def _of_two_sizes(calls: list[Timed]) -> list[Timed]:
    if len({each.size for each in calls}) < 2:
        raise ValueError("all calls have the same size: measure another one too")
    return calls


Growth = Annotated[list[Timed], AfterValidator(_of_two_sizes)]
"""Calls of at least two sizes, so that the time of others can be told."""


class Machine(_Table):
    """The machine, and the versions of what ran on it."""

    processor: str
    cores: Size
    memory_bytes: Size
    device: str
    """The torch device that computed the models: cpu, or cuda and the name of the GPU."""
    versions: dict[str, str]


class TextCosts(_Table):
    """Documents and BM25: the searches are of all words of an index, from all cores at once."""

    document_bytes_per_word: Bytes
    bm25_bytes_per_word: Bytes
    build_seconds_per_word: Time
    searches: Growth


class VectorCosts(_Table):
    """Vectors of one dtype and length: searches that read all of them, and by a graph (HNSW).

    The searches are from all cores at once, in so many vectors.
    """

    dtype: VectorDtype
    dimension: Size
    exact: Growth
    graph: Growth
    graph_bytes_per_vector: Bytes
    graph_build_seconds_per_vector: Time


class EncoderCosts(_Table):
    """An encoder: single queries, and calls with many texts by their tokens."""

    name: str
    dimension: Size
    passage_tokens: Size
    """Tokens of a passage, the text that gets one vector."""
    queries: Annotated[list[Time], Field(min_length=1)]
    texts: Growth


class RerankerCosts(_Table):
    """A reranker: calls with the pairs of one query by their tokens."""

    name: str
    backend: str
    dtype: str
    window: Size
    """Most tokens that are read of a pair."""
    calls: Growth

    @property
    def label(self) -> str:
        """Name, precision and backend, such as ``rerank-search-base (int8, openvino)``."""
        return f"{self.name} ({self.dtype}, {self.backend})"


class Profile(_Table):
    """The costs of one kind of machine."""

    format: Literal[1] = 1
    measured: str
    """The date."""
    machine: Machine
    text: TextCosts
    vectors: Annotated[list[VectorCosts], Field(min_length=1)]
    encoder: EncoderCosts
    rerankers: Annotated[list[RerankerCosts], Field(min_length=1)]
    process_bytes: Bytes
    """Memory of a process with the models loaded."""

    @model_validator(mode="after")
    def _once(self) -> Profile:
        for what, names in (
            ("vectors", [each.dtype for each in self.vectors]),
            ("rerankers", [each.label for each in self.rerankers]),
        ):
            if len({*names}) < len(names):
                raise ValueError(f"{what} has duplicate entries: keep one of each")
        return self

    def reranker(self, name: str | None) -> RerankerCosts:
        """The reranker with a name or a label; by default the first. Raises InvalidInputError."""
        for each in self.rerankers:
            if name in (None, each.name, each.label):
                return each
        labels = ", ".join(each.label for each in self.rerankers)
        raise InvalidInputError(
            f"reranker={shown(name)} was not measured: use one of {labels}, or measure it with "
            "--measure"
        )

    def vectors_in(self, dtype: str) -> VectorCosts:
        """The vectors of a dtype. Raises InvalidInputError."""
        for each in self.vectors:
            if each.dtype == dtype:
                return each
        dtypes = ", ".join(each.dtype for each in self.vectors)
        raise InvalidInputError(
            f"vector_dtype={shown(dtype)} was not measured: use one of {dtypes}"
        )


def read_profile(path: Path) -> Profile:
    """The profile in a file. Raises InvalidInputError for one that is missing or invalid."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be read ({error.strerror}): check the path, or measure this machine "
            "with --measure"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"{path} is not JSON ({error}): measure this machine again with --measure"
        ) from error
    if not isinstance(content, dict):
        raise InvalidInputError(f"{path} is not a profile: it holds no JSON object")
    return validated(Profile, content, path)


def write_profile(profile: Profile, path: Path) -> None:
    """Write a profile. Raises StorageFullError, IndexReadOnlyError."""
    make_folder(path.parent)
    atomic_write_bytes(path, profile.model_dump_json(indent=1).encode() + b"\n")
