"""The threads that do the slow work of requests, and clients that disconnect meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Request

from rerank_search.serving.errors import ApiError, OverloadedError
from rerank_search.serving.limits import Limits

Result = TypeVar("Result")


class Threads:
    """The threads of an app. Writers have their own, so that searches need not wait for them."""

    def __init__(self, limits: Limits) -> None:
        self._readers = anyio.CapacityLimiter(limits.searches)
        self._writers = anyio.CapacityLimiter(limits.writes)

    async def read(
        self,
        request: Request,
        work: Callable[[], Result],
        on_gone: Callable[[], Any] = lambda: None,
    ) -> Result:
        """The result of ``work``, which only reads.

        If the client disconnects, ``on_gone`` is called and the result is dropped. Raises
        OverloadedError if too many requests wait for a thread.
        """
        _check_room(self._readers)
        task = asyncio.ensure_future(anyio.to_thread.run_sync(work, limiter=self._readers))
        return await unless_gone(request, task, on_gone)

    async def read_unless_cancelled(
        self, work: Callable[[], Result], on_cancelled: Callable[[], Any] = lambda: None
    ) -> Result:
        """The result of ``work``, which only reads.

        If the wait is cancelled, ``on_cancelled`` is called and the result is dropped. Raises
        OverloadedError if too many requests wait for a thread.
        """
        _check_room(self._readers)
        try:
            return await anyio.to_thread.run_sync(
                work, limiter=self._readers, abandon_on_cancel=True
            )
        except anyio.get_cancelled_exc_class():
            on_cancelled()
            raise

    async def write(self, work: Callable[[], Result]) -> Result:
        """The result of ``work``, which writes: it is finished even if the client disconnects.

        Raises OverloadedError if too many requests wait for a thread.
        """
        _check_room(self._writers)
        return await anyio.to_thread.run_sync(work, limiter=self._writers)


def _check_room(threads: anyio.CapacityLimiter) -> None:
    if threads.statistics().tasks_waiting >= threads.total_tokens:
        raise OverloadedError("too many requests wait for a thread: try again", retry_after=1.0)


async def unless_gone(
    request: Request, answer: Awaitable[Result], on_gone: Callable[[], Any]
) -> Result:
    """The awaited answer, or ApiError 499 once the client has disconnected.

    ``on_gone`` is called if there is no answer: the client or the server has ended the wait.
    """
    waiting = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        raise ApiError(499, "client_closed_request", "the client has disconnected")
    finally:
        gone.cancel()
        if not waiting.done():
            on_gone()
            waiting.add_done_callback(_retrieve_exception)


async def _gone(request: Request) -> None:
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return


def _retrieve_exception(task: asyncio.Future[Any]) -> None:
    """Take a task's exception, so that asyncio does not report it as never retrieved."""
    if not task.cancelled():
        task.exception()
