"""Threads that requests wait for, and clients that do not wait any longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import FastAPI, Request

from rerank_search.serving.errors import ApiError, OverloadedError
from rerank_search.serving.limits import Limits

Result = TypeVar("Result")


def add_threads(app: FastAPI, limits: Limits) -> None:
    """The threads of an app: apart, so that searches need not wait for writers."""
    app.state.threads = anyio.CapacityLimiter(limits.searches)
    app.state.writers = anyio.CapacityLimiter(limits.writes)


async def in_thread(
    request: Request, work: Callable[[], Result], on_gone: Callable[[], Any] = lambda: None
) -> Result:
    """What ``work`` gives, from a thread of its own. Raises OverloadedError where many wait."""
    threads: anyio.CapacityLimiter = request.app.state.threads
    _check_room(threads)
    task = asyncio.ensure_future(anyio.to_thread.run_sync(work, limiter=threads))
    return await unless_gone(request, task, on_gone)


async def in_writer_thread(request: Request, work: Callable[[], Result]) -> Result:
    """The same for what writes, which is done to its end whoever waits for it."""
    writers: anyio.CapacityLimiter = request.app.state.writers
    _check_room(writers)
    return await anyio.to_thread.run_sync(work, limiter=writers)


def _check_room(threads: anyio.CapacityLimiter) -> None:
    if threads.statistics().tasks_waiting >= threads.total_tokens:
        raise OverloadedError("too many requests wait for a thread: try again", retry_after=1.0)


async def unless_gone(
    request: Request, answer: Awaitable[Result], on_gone: Callable[[], Any]
) -> Result:
    """What is awaited, or ApiError 499 once the client has gone, which nobody will read."""
    waiting = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        raise ApiError(499, "client_closed_request", "the client has gone")
    finally:
        gone.cancel()
        if not waiting.done():  # the client has gone, or the server ends
            on_gone()
            waiting.add_done_callback(_forget)


async def _gone(request: Request) -> None:
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return


def _forget(task: asyncio.Future[Any]) -> None:
    """Take the exception of what nobody waits for, so that it is not reported as lost."""
    if not task.cancelled():
        task.exception()
