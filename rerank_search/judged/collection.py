"""What is evaluated: queries and judgements, with the documents to find or pairs to classify."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rerank_search.judged.findings import Finding
from rerank_search.shown import bounded_repr
from rerank_search.types import Document

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""Query id to document id to grade. A grade of 0 or less is judged not relevant."""

Run: TypeAlias = Mapping[str, Mapping[str, float]]
"""Query id to document id to score, higher is better."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A query, its relevant texts, and the texts ``given`` to rerank, called ``kind`` in the file.

    ``documents`` are candidates, best first; ``negative`` are texts that are not relevant.
    ``line`` is its place in the file, counted from 1, and as a string the id of its query.
    """

    __repr__ = bounded_repr

    line: int
    query: str
    positive: Sequence[str]
    given: Sequence[str]
    kind: Literal["documents", "negative"]


@dataclass(frozen=True, slots=True)
class JudgedCollection:
    """Queries to search documents for, and what was judged relevant.

    ``qrels`` has every judged query of the split; one that ``queries`` (id to text) lacks cannot
    be searched and counts 0. ``documents`` streams the corpus from the start at each call, and is
    None if there are only runs. ``runs`` are first stages that came with the collection, by name.
    ``excluded`` are documents to leave out of a query's rankings before anything is measured.
    ``relevant_from`` is the lowest grade that binary measures count as relevant. ``located`` gives
    the file and line of a judgement, ``located_in_run`` those of a run's result, by the run's name,
    the query and the document. ``samples`` streams the samples with candidates of their own that
    the collection was made from, if any. ``ignore_identical_ids`` leaves the document with a
    query's id out of the query's rankings.
    """

    __repr__ = bounded_repr

    name: str
    split: str
    queries: Mapping[str, str]
    qrels: Qrels
    documents: Callable[[], Iterator[Document]] | None
    located: Callable[[str, str], str]
    runs: Mapping[str, Run] = field(default_factory=dict)
    located_in_run: Callable[[str, str, str], str] = lambda run, query, _: f"{run}, query {query!r}"
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)
    relevant_from: int = 1
    findings: Sequence[Finding] = ()
    samples: Callable[[], Iterator[Sample]] | None = None
    ignore_identical_ids: bool = False

    def left_out(self, query: str) -> frozenset[str]:
        """The ids of documents that are in no ranking of the query."""
        excluded = self.excluded.get(query, frozenset())
        return excluded | {query} if self.ignore_identical_ids else excluded


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """Pairs of texts, each labelled 1 (they belong together) or 0."""

    __repr__ = bounded_repr

    name: str
    split: str
    pairs: Sequence[tuple[str, str]]
    labels: Sequence[int]
    findings: Sequence[Finding] = ()
