"""ASGI applications served over HTTP in a thread, for the tests of what calls them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from tests.served import served


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve the application on a free port; yields its URL."""
    with served(app) as server:
        yield server.url


class ModelApp:
    """A server of a model as others have them: slow, busy, limited or wrong when it is told to.

    It answers a body at ``path`` with ``answer(body)``; ``texts`` is the field with the texts.
    """

    def __init__(self) -> None:
        self.app = FastAPI()
        self.forget()

    def add(self, path: str, texts: str, answer: Callable[[dict[str, Any]], Any]) -> None:
        async def asked(request: Request) -> Any:
            body = json.loads(await request.body())
            self.asked.append(body)
            self.keys.append(request.headers.get("authorization"))
            await asyncio.to_thread(self.released.wait)
            if self.first:
                return self.first.pop(0)
            count = len(body[texts])
            if count > self.most:
                error = f"batch size {count} > maximum allowed batch size {self.most}"
                return JSONResponse({"error": error, "error_type": "Validation"}, 413)
            return answer(body)

        self.app.post(path)(asked)

    def forget(self) -> None:
        """Answer as at the beginning."""
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.first: list[Response] = []
        """What is answered before anything else."""
        self.most = 32
        self.released = threading.Event()
        self.released.set()


def best_first(values: Sequence[Any], name: str) -> list[dict[str, Any]]:
    """Results with the index of each, in another order than the texts."""
    order = sorted(range(len(values)), key=lambda place: values[place], reverse=True)
    return [{"index": place, name: values[place]} for place in order]
