"""One thread owns a reranker; pairs of requests that wait at a time are scored together."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from rerank_search.errors import RerankError, RerankSearchError
from rerank_search.processes import PerProcess
from rerank_search.reranking.base import LongDocuments, Reranker, Scores, joined
from rerank_search.reranking.calls import scored
from rerank_search.reranking.traits import traits
from rerank_search.serving.errors import OverloadedError

if TYPE_CHECKING:
    from numpy.typing import NDArray


logger = logging.getLogger(__name__)

Pair: TypeAlias = tuple[str, str]

ROUND_COST = 65_536
"""Characters that are scored at once: some 16,384 tokens, as text-embeddings-inference takes."""

SHARE_COST = 8_192
"""Of a round, that go to a request before the next one has its turn."""

_MOST_CHARACTERS, _LEAST_CHARACTERS = 2_000, 100
"""A text above the window costs no more than the window, and a short one not nothing."""


@dataclass(slots=True)
class _Job:
    """What is left of a request."""

    pairs: Sequence[Pair]
    costs: Sequence[int]
    long_documents: LongDocuments
    future: Future[Scores]
    taken: int = 0
    parts: list[Scores] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Characters that are not taken yet."""
        return sum(self.costs[self.taken :])

    def take(self, cost: int) -> list[Pair]:
        """The next pairs: one at least, and no more than this cost."""
        end, spent = self.taken + 1, self.costs[self.taken]
        while end < len(self.pairs) and spent + self.costs[end] <= cost:
            spent += self.costs[end]
            end += 1
        pairs = list(self.pairs[self.taken : end])
        self.taken = end
        return pairs


@dataclass(slots=True)
class _Line:
    """The requests of one process that wait, and the thread that scores them."""

    worker: threading.Thread
    jobs: deque[_Job] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    closed: bool = False


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What was scored at once: of how many requests, how many pairs, and how long it took."""

    requests: int
    pairs: int
    seconds: float


class BatchingReranker:
    """A reranker that many requests share, without waiting for each other's ends.

    A thread of its own scores rounds of at most ``round_cost`` characters. Each waiting request
    has an equal share of a round, so that a short one is not kept waiting by a long one; pairs of
    a round are batched by length together. A request whose future is cancelled is not scored any
    further. ``max_waiting`` bounds the pairs that wait.

    It is a ReportingReranker itself, for a Searcher; ``submit`` does not wait. With
    ``shared=False`` requests are scored one after the other, for comparison.
    """

    def __init__(
        self,
        reranker: Reranker,
        *,
        max_waiting: int = 20_000,
        round_cost: int = ROUND_COST,
        name: str | None = None,
        shared: bool = True,
        on_round: Callable[[RoundReport], None] = lambda _: None,
    ) -> None:
        self.name = reranker.name if name is None else name
        own = traits(reranker)
        self.fusion, self.calibration, self.listwise = own.fusion, own.calibration, own.listwise
        self._reranker = reranker
        # A list whose scores depend on each other is one piece.
        self._shared = shared and not self.listwise
        self._max_waiting = max_waiting
        self._round_cost = round_cost
        self._on_round = on_round
        self._cost_per_second = 0.0
        self._own = PerProcess(self._line)
        self._own.get()

    @property
    def waiting(self) -> int:
        """Pairs that wait to be scored."""
        line = self._own.get()
        with line.changed:
            return self._waiting()

    def submit(
        self, pairs: Sequence[Pair], *, long_documents: LongDocuments = "truncate"
    ) -> Future[Scores]:
        """Have the pairs scored; the future raises what the reranker raises.

        Raises OverloadedError where too many pairs wait, or the service is closing.
        """
        line = self._own.get()
        costs = [_cost(pair, long_documents) for pair in pairs]
        job = _Job(pairs, costs, long_documents, Future())
        if not pairs:
            job.future.set_result(joined([]))
            return job.future
        with line.changed:
            self._check_room(len(pairs))
            line.jobs.append(job)
            line.changed.notify()
        return job.future

    def check_room(self, pairs: int) -> None:
        """Raise OverloadedError where ``submit`` of so many would, which are still to come."""
        line = self._own.get()
        with line.changed:
            self._check_room(pairs)

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Raw logits of the pairs, shape (n,), float32; waits for its turn."""
        return self.score_with_report(pairs).values

    def score_with_report(
        self, pairs: Sequence[Pair], *, long_documents: LongDocuments = "truncate"
    ) -> Scores:
        """Raw logits with what was cut. Raises OverloadedError, and what the reranker raises."""
        return self.submit(pairs, long_documents=long_documents).result()

    def close(self) -> None:
        """Finish what waits, and end the thread; what is submitted later is refused."""
        line = self._own.get()
        with line.changed:
            line.closed = True
            line.changed.notify()
        line.worker.join()

    def _line(self) -> _Line:
        line = _Line(threading.Thread(target=self._work, name=f"rerank {self.name}", daemon=True))
        line.worker.start()
        return line

    def _check_room(self, pairs: int) -> None:
        line = self._own.get()
        if line.closed:
            raise OverloadedError("the service is closing: try again", retry_after=1.0)
        waiting = self._waiting()
        if waiting and waiting + pairs > self._max_waiting:
            raise OverloadedError(
                f"{waiting:,} pairs wait to be reranked, and {self._max_waiting:,} may: try again",
                retry_after=self._seconds_left(),
            )

    def _waiting(self) -> int:
        line = self._own.get()
        return sum(len(job.pairs) - job.taken for job in line.jobs if not job.future.cancelled())

    def _seconds_left(self) -> float:
        line = self._own.get()
        left = sum(job.left for job in line.jobs)
        return left / self._cost_per_second if self._cost_per_second else 1.0

    def _work(self) -> None:
        while (chosen := self._next_round()) is not None:
            started = time.perf_counter()
            try:
                self._score(chosen)
            except BaseException as error:  # this thread is the only one there is
                logger.error("the reranker %s failed", self.name, exc_info=error)
                for job, _ in chosen:
                    self._fail(job, self._failed(error))
            seconds = time.perf_counter() - started
            pairs = [pair for _, own in chosen for pair in own]
            if pairs:
                kind = chosen[0][0].long_documents
                speed = sum(_cost(pair, kind) for pair in pairs) / max(seconds, 1e-9)
                known = self._cost_per_second
                self._cost_per_second = speed if not known else 0.8 * known + 0.2 * speed
                self._on_round(RoundReport(len(chosen), len(pairs), seconds))

    def _next_round(self) -> list[tuple[_Job, list[Pair]]] | None:
        """Requests with the pairs of each that are next; None at the end."""
        line = self._own.get()
        with line.changed:
            while True:
                line.jobs = deque(job for job in line.jobs if not job.future.cancelled())
                if line.jobs:
                    return self._chosen()
                if line.closed:
                    return None
                line.changed.wait()

    def _chosen(self) -> list[tuple[_Job, list[Pair]]]:
        line = self._own.get()
        if not self._shared:
            job = line.jobs.popleft()
            return [(job, job.take(sum(job.costs)))]
        found: dict[int, tuple[_Job, list[Pair]]] = {}
        left = self._round_cost
        kind = line.jobs[0].long_documents
        # In turns, until the round is full: whoever has waited longest begins.
        waiting = deque(job for job in line.jobs if job.long_documents == kind)
        while waiting and left > 0:
            job = waiting.popleft()
            before = job.left
            pairs = job.take(min(SHARE_COST, left))
            left -= before - job.left
            found.setdefault(id(job), (job, []))[1].extend(pairs)
            if job.taken < len(job.pairs):
                waiting.append(job)
        # Those that have had a turn, and have more, are behind those that have had none.
        rest = [job for job in line.jobs if id(job) not in found]
        more = [job for job, _ in found.values() if job.taken < len(job.pairs)]
        line.jobs = deque([*rest, *more])
        return list(found.values())

    def _score(self, chosen: Sequence[tuple[_Job, list[Pair]]]) -> None:
        """Score a round, and give each request its part."""
        pairs = [pair for _, own in chosen for pair in own]
        try:
            scores = scored(self._reranker, pairs, long_documents=chosen[0][0].long_documents)
        except RerankSearchError as error:
            if len(chosen) == 1:
                self._fail(chosen[0][0], self._told(error))
            else:  # whose pairs it were is found by scoring each request's by themselves
                for each in chosen:
                    self._score([each])
            return
        ends = itertools.accumulate(len(own) for _, own in chosen)
        for (job, own), end in zip(chosen, ends, strict=True):
            job.parts.append(scores.part(end - len(own), end))
            if job.taken == len(job.pairs) and job.future.set_running_or_notify_cancel():
                job.future.set_result(joined(job.parts))

    def _told(self, error: RerankSearchError) -> RerankSearchError:
        """The error as strangers may read it: not where a model lies, nor what else is raised."""
        if error.__cause__ is not None:
            logger.error("the reranker %s failed: %s", self.name, error)
            return self._failed(error.__cause__)
        told = str(error).replace(str(self._reranker.name), self.name)
        return type(error)(told)

    def _failed(self, error: BaseException) -> RerankError:
        return RerankError(
            f"the reranker {self.name!r} failed ({type(error).__name__}); the log has more"
        )

    def _fail(self, job: _Job, error: RerankSearchError) -> None:
        line = self._own.get()
        with line.changed:
            line.jobs = deque(each for each in line.jobs if each is not job)
        if not job.future.done() and job.future.set_running_or_notify_cancel():
            job.future.set_exception(error)


def _cost(pair: Pair, long_documents: LongDocuments) -> int:
    """Characters that are read of it."""
    characters = max(len(pair[0]) + len(pair[1]), _LEAST_CHARACTERS)
    return min(characters, _MOST_CHARACTERS) if long_documents == "truncate" else characters
