"""What is asked of a plan: the goal, and what is assumed where nothing is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rerank_search.arguments import one_of, real_number, whole_number
from rerank_search.built_in_stages import BM25, DENSE, HYBRID
from rerank_search.declared import did_you_mean, toml_value
from rerank_search.errors import InvalidInputError
from rerank_search.shown import reason, shown
from rerank_search.types import VectorDtype

FIRST_STAGES = (BM25, DENSE, HYBRID)
"""The first stages whose costs are measured."""

VectorSearch = Literal["graph", "exact"]

MOST_DOCUMENTS = 10**13
MOST_QPS = 10**7
MOST_GB = 10**6
MOST_MS = 10**7
"""Bounds that keep a plan's arithmetic quick; no system comes near them."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The documents, the load and the latency that a plan is for.

    ``words`` is the number of words of a document. ``vector_search`` says whether the vectors are
    searched by a graph (HNSW) or all are read. ``dimension`` None means the encoder's, ``reranker``
    None the first of the profile, ``cores`` and ``memory_gb`` (of one machine, 10**9 bytes) those
    of the measured machine. ``utilisation`` is the largest share of the time for which a server may
    be busy. Raises InvalidInputError for a value of another type or out of bounds.
    """

    documents: int
    qps: float
    p99_ms: float
    candidates: int = 100
    words: int = 200
    first_stage: str = HYBRID
    vector_dtype: VectorDtype = "float32"
    vector_search: VectorSearch = "graph"
    dimension: int | None = None
    reranker: str | None = None
    cores: int | None = None
    memory_gb: float | None = None
    utilisation: float = 0.7

    def __post_init__(self) -> None:
        whole_number("documents", self.documents, most=MOST_DOCUMENTS)
        real_number("qps", self.qps, above=0, most=MOST_QPS)
        real_number("p99_ms", self.p99_ms, above=0, most=MOST_MS)
        whole_number("candidates", self.candidates, most=100_000)
        whole_number("words", self.words, most=10**7)
        one_of("first_stage", self.first_stage, FIRST_STAGES)
        one_of("vector_dtype", self.vector_dtype, get_args(VectorDtype))
        one_of("vector_search", self.vector_search, get_args(VectorSearch))
        if self.dimension is not None:
            whole_number("dimension", self.dimension, most=65_536)
        if self.cores is not None:
            whole_number("cores", self.cores, most=4_096)
        if self.memory_gb is not None:
            real_number("memory_gb", self.memory_gb, above=0, most=MOST_GB)
        real_number("utilisation", self.utilisation, above=0, most=0.99)

    @property
    def has_text(self) -> bool:
        """Whether the first stage searches by BM25."""
        return self.first_stage != DENSE

    @property
    def has_vectors(self) -> bool:
        """Whether the first stage searches vectors."""
        return self.first_stage != BM25


class Assumptions(BaseModel):
    """Figures that no measurement of one machine gives; each can be replaced."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens_per_word: float = Field(
        default=1.3, gt=0, le=1_000, description="of English, with BERT's word pieces"
    )
    query_tokens: int = Field(
        default=12, ge=1, le=10**7, description="tokens of a query, of a pair's too"
    )
    network_ms: float = Field(
        default=1.0,
        ge=0,
        le=MOST_MS,
        description="for a request to the shards and its answer, in one data centre",
    )
    server_ms: float = Field(
        default=1.1,
        ge=0,
        le=MOST_MS,
        description="that HTTP adds to a search (eval/results/serving.md, on another machine)",
    )
    memory_share: float = Field(
        default=0.8, gt=0, le=1, description="of the memory that may be used; the rest is spare"
    )
    disk_copies: float = Field(
        default=2.0,
        ge=1,
        le=1_000,
        description="times the files: merging or rebuilding writes a second copy",
    )


def assumed(given: Sequence[str]) -> Assumptions:
    """The assumptions with some of them replaced, each given as ``NAME=VALUE``.

    Raises InvalidInputError for an unknown name or an invalid value.
    """
    values: dict[str, object] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if name not in Assumptions.model_fields or not equals:
            known = list(Assumptions.model_fields)
            raise InvalidInputError(
                f"the assumption {shown(each)} is not NAME=VALUE with one of the names "
                f"{', '.join(known)}{did_you_mean(name, known)}"
            )
        values[name] = toml_value(value)
    try:
        return Assumptions.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise InvalidInputError(
            f"the assumption {problem['loc'][0]}={shown(problem['input'])} is invalid: "
            f"{reason(problem)}"
        ) from None
