"""Training data: queries with labelled documents."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rerank_search.judged.findings import Finding
from rerank_search.judged.formats.lines import bare_name
from rerank_search.training.recipe.sources import Source

POSITIVE_ABOVE = 0.5
"""Label in [0, 1] above which query and document belong together."""


@dataclass(frozen=True, slots=True)
class Group:
    """A query, its documents, and a label for each.

    ``places`` has the place of each document in its file (``line 3``), if it was read from one.
    """

    query: str
    documents: Sequence[str]
    labels: Sequence[float]
    places: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The data of one source. ``findings`` are about these data.

    ``made_up`` is the number of groups with a made-up query; these come last. ``as_in_file`` says
    that the labels are those of the file of pairs, which a ``label_map`` can change.
    """

    name: str
    split: str
    licence: str
    groups: Sequence[Group]
    findings: Sequence[Finding] = ()
    made_up: int = 0
    as_in_file: bool = False

    def __str__(self) -> str:
        return f"{self.name}/{self.split}"


def drawn(groups: Sequence[Group], queries: int | None, seed: str) -> list[Group]:
    """``queries`` of the groups (None: all), drawn by ``seed``, in their original order."""
    if queries is None or queries >= len(groups):
        return list(groups)
    return [groups[i] for i in sorted(random.Random(seed).sample(range(len(groups)), queries))]


def training_set_of(
    source: Source, file: Path, groups: Sequence[Group], seed: int, found: Sequence[Finding] = ()
) -> TrainingSet:
    """The set of a source's groups, drawn by ``seed``; its split is the file's name."""
    split = bare_name(file)
    kept = drawn(groups, source.queries, f"{seed}:{source.name}/{split}")
    return TrainingSet(source.name, split, source.licence, kept, found)
