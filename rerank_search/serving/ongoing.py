"""A search that is being answered: how long it has taken, and how to cancel it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from rerank_search.reranking.base import LongDocuments, Reranker, Scores
from rerank_search.serving.shared_reranker import SharedReranker


class OngoingSearch:
    """When a search request came, and the scores that it waits for."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._arrived = clock()
        self._futures: list[Future[Scores]] = []
        self._cancelled = False
        self._lock = threading.Lock()

    def milliseconds(self) -> float:
        """Milliseconds since the request came."""
        return (self._clock() - self._arrived) * 1000

    def cancel(self) -> None:
        """Cancel the pairs that are not scored yet: the client has disconnected."""
        with self._lock:
            self._cancelled = True
            futures = list(self._futures)
        for future in futures:
            future.cancel()

    def reranker(self, shared: SharedReranker) -> Reranker:
        """The shared reranker, whose scores for this search are cancelled with it."""
        return _CancellableReranker(self, shared)

    def keep(self, future: Future[Scores]) -> Future[Scores]:
        """Cancel the future when the search is cancelled."""
        with self._lock:
            self._futures.append(future)
            cancelled = self._cancelled
        if cancelled:
            future.cancel()
        return future


class _CancellableReranker:
    """A shared reranker as one search uses it."""

    def __init__(self, search: OngoingSearch, shared: SharedReranker) -> None:
        self._search, self._shared = search, shared
        self.name = shared.name
        self.fusion, self.calibration = shared.fusion, shared.calibration
        self.listwise = shared.listwise

    @property
    def takes_instructions(self) -> bool:
        return self._shared.takes_instructions

    def score(
        self, pairs: Sequence[tuple[str, str]], *, instruction: str | None = None
    ) -> NDArray[np.float32]:
        return self.score_with_report(pairs, instruction=instruction).values

    def score_with_report(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        long_documents: LongDocuments = "truncate",
        instruction: str | None = None,
    ) -> Scores:
        future = self._shared.submit(pairs, long_documents=long_documents, instruction=instruction)
        return self._search.keep(future).result()
