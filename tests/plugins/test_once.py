from __future__ import annotations

import asyncio

import pytest

from rerank_search.plugins.once import Once


def test_a_value_is_made_at_the_first_use_and_after_it_was_forgotten():
    made: list[int] = []
    once = Once(lambda: made.append(1) or len(made))
    assert made == []
    assert (once.get(), once.get(), asyncio.run(once.aget())) == (1, 1, 1)
    once.forget()
    assert (asyncio.run(once.aget()), once.get()) == (2, 2)


def test_if_making_it_fails_the_next_use_tries_again():
    results = iter([ZeroDivisionError(), 5])

    def make() -> int:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    once = Once(make)
    with pytest.raises(ZeroDivisionError):
        once.get()
    assert once.get() == 5
