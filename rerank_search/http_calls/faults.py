"""What the outcome of a request says of the server, if others have the same model."""

from __future__ import annotations

from typing import Literal, TypeAlias

import httpx2

from rerank_search.http_calls.attempts import LOST, Outcome

TOO_LATE = (httpx2.ReadTimeout, httpx2.WriteTimeout)
"""Errors of a request that has taken all its time."""

Fault: TypeAlias = Literal["dead", "doubtful", "busy"]
"""Why another server is asked: this one cannot answer; it or the request has an error, which is
known once another server has answered; or it has too much to do."""

_CANNOT_ANSWER = frozenset({502, 503, 504})


def fault_of(outcome: Outcome) -> Fault | None:
    """The fault of the server; None for an answer, and for what another server would say too."""
    if isinstance(outcome, httpx2.Response):
        if outcome.status_code == 429:
            return "busy"
        if outcome.status_code in _CANNOT_ANSWER:
            return "dead"
        return "doubtful" if outcome.status_code >= 500 else None
    if isinstance(outcome, httpx2.PoolTimeout):  # too many requests of this process
        return "busy"
    return "dead" if isinstance(outcome, (*LOST, *TOO_LATE)) else None


def described(outcome: Outcome) -> str:
    """An outcome in a few words, for the log."""
    if isinstance(outcome, httpx2.Response):
        return f"it answers {outcome.status_code}"
    return str(outcome) or type(outcome).__name__
