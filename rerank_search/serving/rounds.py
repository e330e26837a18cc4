"""Which pairs of the waiting requests are scored next: each request gets an equal share."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeAlias

from rerank_search.reranking.base import LongDocuments, Scores

Pair: TypeAlias = tuple[str, str]

ROUND_COST = 65_536
"""Characters scored in one round: some 16,384 tokens, as in text-embeddings-inference."""

SHARE_COST = 8_192
"""Characters of a round that one request gets before it is the next one's turn."""

_MOST_CHARACTERS, _LEAST_CHARACTERS = 2_000, 100
"""Bounds of a pair's cost: a text above the window costs no more than the window."""


@dataclass(slots=True)
class Job:
    """A request whose pairs are being scored, and how far that has got."""

    pairs: Sequence[Pair]
    long_documents: LongDocuments
    instruction: str | None = None
    future: Future[Scores] = field(default_factory=Future)
    costs: Sequence[int] = ()
    taken: int = 0
    parts: list[Scores] = field(default_factory=list)

    def __post_init__(self) -> None:
        # The characters of each pair that are read.
        most = _MOST_CHARACTERS if self.long_documents == "truncate" else sys.maxsize
        self.costs = [
            min(max(len(query) + len(text), _LEAST_CHARACTERS), most) for query, text in self.pairs
        ]

    @property
    def kind(self) -> tuple[LongDocuments, str | None]:
        """What all jobs of a round have in common: the options of the reranker's call."""
        return self.long_documents, self.instruction

    @property
    def left(self) -> int:
        """Characters that are not taken yet."""
        return sum(self.costs[self.taken :])

    @property
    def is_taken(self) -> bool:
        """Whether no pairs are left."""
        return self.taken == len(self.pairs)

    def take(self, cost: int) -> Part:
        """The next pairs: at least one, and no more than this cost."""
        start, end, spent = self.taken, self.taken + 1, self.costs[self.taken]
        while end < len(self.pairs) and spent + self.costs[end] <= cost:
            spent += self.costs[end]
            end += 1
        self.taken = end
        return Part(self, list(self.pairs[start:end]), spent)


@dataclass(slots=True)
class Part:
    """Pairs of one request that are scored in one round, and their cost in characters."""

    job: Job
    pairs: list[Pair]
    cost: int


def next_round(jobs: deque[Job], most: int) -> tuple[list[Part], deque[Job]]:
    """The parts of the next round, of at most ``most`` characters, and the jobs that then wait.

    Jobs take turns, beginning with the one that has waited longest. A round does not mix jobs
    that cut long documents with jobs that read them window by window, nor two instructions.
    """
    found: dict[int, Part] = {}
    kind = jobs[0].kind
    waiting = deque(job for job in jobs if job.kind == kind)
    while waiting and most > 0:
        job = waiting.popleft()
        part = job.take(min(SHARE_COST, most))
        most -= part.cost
        if (known := found.setdefault(id(job), part)) is not part:
            known.pairs += part.pairs
            known.cost += part.cost
        if not job.is_taken:
            waiting.append(job)
    # Jobs that had no turn go before those that had one and are not finished.
    rest = [job for job in jobs if id(job) not in found]
    more = [part.job for part in found.values() if not part.job.is_taken]
    return list(found.values()), deque([*rest, *more])


def whole_job(jobs: deque[Job]) -> tuple[list[Part], deque[Job]]:
    """A round with all pairs of the job that has waited longest, and the jobs that then wait."""
    first, *rest = jobs
    return [first.take(sum(first.costs))], deque(rest)
