"""An event loop in a thread of its own, for stores that can only be asked asynchronously."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from rerank_search.processes import PerProcess

Returned = TypeVar("Returned")


def run(coroutine: Coroutine[Any, Any, Returned]) -> Returned:
    """The result of the coroutine, for a caller who waits. Raises what it raises.

    All coroutines of a process run in one loop, so that clients that are bound to their loop can
    be used again. An interrupted caller cancels its coroutine.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, _LOOP.get())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _running() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="rerank-search-loop", daemon=True).start()
    return loop


_LOOP = PerProcess(_running)
