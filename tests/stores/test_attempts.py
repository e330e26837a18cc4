from __future__ import annotations

from collections.abc import Callable

import pytest

from rerank_search import StoreError, StoreTimeoutError, StoreUnreachableError
from rerank_search.stores.attempts import LONGEST_WAIT, Attempts


def failing(times: int, error: Exception) -> Callable[[], int]:
    """A call that fails so often, then returns the number of its attempts."""
    made = 0

    def call() -> int:
        nonlocal made
        made += 1
        if made <= times:
            raise error
        return made

    return call


def test_a_lost_connection_is_tried_again_with_waits_in_between():
    waits: list[float] = []
    attempts = Attempts(timeout=60, retries=5, sleep=waits.append)
    assert attempts.of(failing(5, StoreUnreachableError("gone"))) == 6
    assert len(waits) == 5
    assert all(0 <= wait <= LONGEST_WAIT for wait in waits)


def test_the_last_error_is_raised():
    attempts = Attempts(timeout=60, retries=2, sleep=lambda _: None)
    with pytest.raises(StoreUnreachableError, match="gone"):
        attempts.of(failing(3, StoreUnreachableError("gone")))


def test_no_attempt_begins_after_the_time_is_up():
    waits: list[float] = []
    attempts = Attempts(timeout=1e-9, retries=5, sleep=waits.append)
    with pytest.raises(StoreUnreachableError):
        attempts.of(failing(1, StoreUnreachableError("gone")))
    assert waits == []


@pytest.mark.parametrize("error", [StoreError("no"), StoreTimeoutError("slow"), KeyError("bug")])
def test_other_errors_are_raised_at_once(error: Exception):
    with pytest.raises(type(error)):
        Attempts(timeout=60, retries=5).of(failing(1, error))
