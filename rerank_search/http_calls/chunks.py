"""Many texts sent to a server in chunks, several requests at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from typing import TypeVar

from rerank_search.errors import ServerError
from rerank_search.models.batches import each

AT_ONCE = 32
"""Texts of a request: the most that text-embeddings-inference takes by default."""

REQUESTS_AT_ONCE = 4
"""Requests under way together for each server, since it computes those that wait in one batch."""

TOO_LARGE = 413
"""Status with which servers refuse too many texts in a request."""

Item = TypeVar("Item")
Value = TypeVar("Value")


class Chunks:
    """Sends items in requests of at most ``most`` items to ``servers``. Threads may share one.

    If a server refuses so many (413), requests have half as many from then on.
    """

    def __init__(self, most: int, *, servers: int = 1) -> None:
        self._most = most
        self._at_once = REQUESTS_AT_ONCE * servers

    def answers(
        self,
        ask: Callable[[Sequence[Item]], Sequence[Value]],
        lists: Iterable[Sequence[Item]],
    ) -> list[Value]:
        """The answers for all items, in their order; a request has items of one list only.

        ``ask`` sends a request, and returns an answer for each item. The first error is raised.
        """
        most = self._most
        chunks = [
            items[start : start + most] for items in lists for start in range(0, len(items), most)
        ]
        answers = each(partial(self._in_parts, ask), chunks, self._at_once)
        with closing(answers):  # no request is sent after an interrupt
            return [value for answer in answers for value in answer]

    def _in_parts(
        self, ask: Callable[[Sequence[Item]], Sequence[Value]], items: Sequence[Item]
    ) -> Sequence[Value]:
        try:
            return ask(items)
        except ServerError as error:
            if error.status != TOO_LARGE or len(items) == 1:
                raise
        half = len(items) // 2
        self._most = min(self._most, half)
        return [*self._in_parts(ask, items[:half]), *self._in_parts(ask, items[half:])]
