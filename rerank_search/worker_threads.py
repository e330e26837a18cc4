"""Threads in which coroutines have their slow work done, so that the event loop goes on."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rerank_search.models.threads import available_cores
from rerank_search.processes import PerProcess

Result = TypeVar("Result")

LEAST_THREADS = 4
"""Number of threads on a machine with fewer cores: work also waits for disks and servers."""


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(LEAST_THREADS, available_cores()), "rerank-search")


class WorkerThreads:
    """As many threads as the machine has cores, at least LEAST_THREADS, started when needed.

    More would only compete: a reranker computes its batches in threads of its own. Work beyond that
    waits for its turn. Event loops may share one, and a forked process starts its own threads.
    """

    def __init__(self) -> None:
        self._pool = PerProcess(_pool)

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of ``work``, called in a thread with the context variables of the caller.

        A cancelled caller goes on at once. Work that has not begun by then is never called; the
        result of work that has begun is dropped.
        """
        called = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._pool.get(), called, work)
