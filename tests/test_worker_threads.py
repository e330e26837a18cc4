from __future__ import annotations

import asyncio
import contextvars

import pytest

from rerank_search.worker_threads import WorkerThreads

current = contextvars.ContextVar("current", default="none")


def test_work_sees_the_context_of_its_caller():
    async def run() -> str:
        current.set("mine")
        return await WorkerThreads().run(current.get)

    assert asyncio.run(run()) == "mine"


def test_an_error_of_the_work_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        asyncio.run(WorkerThreads().run(lambda: 1 // 0))
