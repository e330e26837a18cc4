"""A reranker that many requests share: one thread scores the pairs that wait, in rounds."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rerank_search.errors import RerankError, RerankSearchError
from rerank_search.processes import PerProcess
from rerank_search.queries import check_instruction
from rerank_search.reranking.base import LongDocuments, Reranker, Scores, joined
from rerank_search.reranking.calls import scored
from rerank_search.reranking.traits import require_instructions, takes_instructions, traits
from rerank_search.serving.errors import OverloadedError
from rerank_search.serving.rounds import ROUND_COST, Job, Pair, Part, next_round, whole_job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Line:
    """The requests of one process that wait, and the thread that scores them."""

    worker: threading.Thread
    jobs: deque[Job] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    closed: bool = False

    @property
    def pairs(self) -> int:
        """Number of pairs that wait."""
        return sum(len(job.pairs) - job.taken for job in self.jobs if not job.future.cancelled())


@dataclass(frozen=True, slots=True)
class RoundReport:
    """How many requests and pairs a round had, and how many seconds it took."""

    requests: int
    pairs: int
    seconds: float


class SharedReranker:
    """A reranker that many requests share, without waiting for one another to end.

    A thread of its own scores rounds of at most ``round_cost`` characters. Each waiting request
    has an equal share of a round, so that a short one does not wait for a long one to end; the
    pairs of a round are batched by length together. A request whose future is cancelled is not
    scored any further. ``max_waiting`` bounds the pairs that wait.

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
        # A list whose scores depend on each other must not be cut into parts.
        self._shared = shared and not self.listwise
        self._max_waiting = max_waiting
        self._round_cost = round_cost
        self._on_round = on_round
        self._cost_per_second = 0.0
        self._own = PerProcess(self._line)
        self._own.get()

    @property
    def waiting(self) -> int:
        """Number of pairs that wait to be scored."""
        line = self._own.get()
        with line.changed:
            return line.pairs

    @property
    def takes_instructions(self) -> bool:
        """Whether the reranker takes instructions."""
        return takes_instructions(self._reranker)

    def submit(
        self,
        pairs: Sequence[Pair],
        *,
        long_documents: LongDocuments = "truncate",
        instruction: str | None = None,
    ) -> Future[Scores]:
        """Have the pairs scored; the future raises what the reranker raises.

        Raises OverloadedError if too many pairs wait, or the service is closing, and
        InvalidInputError for an instruction that is blank or that the reranker does not take.
        """
        if instruction is not None:
            check_instruction(instruction)
            require_instructions(self._reranker, self.name)
        line = self._own.get()
        job = Job(pairs, long_documents, instruction)
        if not pairs:
            job.future.set_result(joined([]))
            return job.future
        with line.changed:
            self._check_room(line, len(pairs))
            line.jobs.append(job)
            line.changed.notify()
        return job.future

    def check_room(self, pairs: int) -> None:
        """Raise OverloadedError if ``submit`` would for this number of pairs."""
        line = self._own.get()
        with line.changed:
            self._check_room(line, pairs)

    def score(
        self, pairs: Sequence[Pair], *, instruction: str | None = None
    ) -> NDArray[np.float32]:
        """Raw logits of the pairs, shape (n,), float32; waits for its turn."""
        return self.score_with_report(pairs, instruction=instruction).values

    def score_with_report(
        self,
        pairs: Sequence[Pair],
        *,
        long_documents: LongDocuments = "truncate",
        instruction: str | None = None,
    ) -> Scores:
        """Raw logits and what was cut. Raises what ``submit`` and the reranker raise."""
        return self.submit(pairs, long_documents=long_documents, instruction=instruction).result()

    def close(self) -> None:
        """Score what waits, and end the thread; later pairs are refused."""
        line = self._own.get()
        with line.changed:
            line.closed = True
            line.changed.notify()
        line.worker.join()

    def _line(self) -> _Line:
        line = _Line(threading.Thread(target=self._work, name=f"rerank {self.name}", daemon=True))
        line.worker.start()
        return line

    def _check_room(self, line: _Line, pairs: int) -> None:
        if line.closed:
            raise OverloadedError("the service is closing: try again", retry_after=1.0)
        waiting = line.pairs
        if waiting and waiting + pairs > self._max_waiting:
            left = sum(job.left for job in line.jobs)
            raise OverloadedError(
                f"{waiting:,} pairs wait to be reranked, and at most {self._max_waiting:,} may: "
                "try again",
                retry_after=left / self._cost_per_second if self._cost_per_second else 1.0,
            )

    def _work(self) -> None:
        line = self._own.get()
        while parts := self._next_round(line):
            started = time.perf_counter()
            try:
                self._score(line, parts)
            except BaseException as error:  # without this thread nothing would be scored again
                logger.error("the reranker %s failed", self.name, exc_info=error)
                for part in parts:
                    _fail(line, part.job, self._failed(error))
            self._measure(parts, time.perf_counter() - started)

    def _next_round(self, line: _Line) -> list[Part]:
        """The parts of the next round, which this waits for; none at the end."""
        with line.changed:
            while True:
                line.jobs = deque(job for job in line.jobs if not job.future.cancelled())
                if line.jobs:
                    parts, line.jobs = (
                        next_round(line.jobs, self._round_cost)
                        if self._shared
                        else whole_job(line.jobs)
                    )
                    return parts
                if line.closed:
                    return []
                line.changed.wait()

    def _measure(self, parts: Sequence[Part], seconds: float) -> None:
        """Report a round, and average the speed that says when a refused client may try again."""
        speed = sum(part.cost for part in parts) / max(seconds, 1e-9)
        known = self._cost_per_second
        self._cost_per_second = speed if not known else 0.8 * known + 0.2 * speed
        self._on_round(RoundReport(len(parts), sum(len(part.pairs) for part in parts), seconds))

    def _score(self, line: _Line, parts: Sequence[Part]) -> None:
        """Score a round, and give each request its scores."""
        pairs = [pair for part in parts for pair in part.pairs]
        try:
            long_documents, instruction = parts[0].job.kind
            scores = scored(
                self._reranker, pairs, long_documents=long_documents, instruction=instruction
            )
        except RerankSearchError as error:
            if len(parts) == 1:
                _fail(line, parts[0].job, self._public(error))
            else:  # only the requests whose own pairs fail should fail
                for part in parts:
                    self._score(line, [part])
            return
        ends = itertools.accumulate(len(part.pairs) for part in parts)
        for part, end in zip(parts, ends, strict=True):
            job = part.job
            job.parts.append(scores.part(end - len(part.pairs), end))
            if job.is_taken and job.future.set_running_or_notify_cancel():
                job.future.set_result(joined(job.parts))

    def _public(self, error: RerankSearchError) -> RerankSearchError:
        """The error without what callers must not see: a model's path, another library's words."""
        if error.__cause__ is not None:
            logger.error("the reranker %s failed: %s", self.name, error)
            return self._failed(error.__cause__)
        return type(error)(str(error).replace(str(self._reranker.name), self.name))

    def _failed(self, error: BaseException) -> RerankError:
        return RerankError(
            f"the reranker {self.name!r} failed ({type(error).__name__}); see the server's log"
        )


def _fail(line: _Line, job: Job, error: RerankSearchError) -> None:
    with line.changed:
        line.jobs = deque(each for each in line.jobs if each is not job)
    if not job.future.done() and job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)
