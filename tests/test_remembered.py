from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from rerank_search.models.batches import one_ahead
from rerank_search.remembered import Remembered, key_of


def test_what_was_not_asked_for_the_longest_is_forgotten():
    values: Remembered[str, int] = Remembered(2)
    values.remember({"a": 1, "b": 2})
    assert values.known(["a"]) == {"a": 1}
    values.remember({"c": 3})
    assert values.known(["a", "b", "c"]) == {"a": 1, "c": 3}
    values.remember({"d": 4, "e": 5, "f": 6})
    assert values.known("abcdef") == {"e": 5, "f": 6}


def test_nothing_is_remembered_where_there_is_no_room():
    values: Remembered[str, int] = Remembered(0)
    values.remember({"a": 1})
    assert values.known(["a"]) == {}


def test_threads_share_it():
    values: Remembered[int, int] = Remembered(50)

    def use(start: int) -> bool:
        for i in range(start, start + 2_000):
            values.remember({i % 97: i % 97})
            if any(key != value for key, value in values.known(range(97)).items()):
                return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(use, range(4)))


def test_texts_have_keys_of_their_own():
    keys = {
        key_of("ab", "c"),
        key_of("a", "bc"),
        key_of("abc"),
        key_of("abc", ""),
        key_of("é", "c"),
    }
    assert len(keys) == 5
    assert key_of("a", "b") == key_of("a", "b")
    assert len(key_of("a")) == 16


def test_one_ahead_keeps_the_order_and_raises_what_was_raised():
    assert list(one_ahead(str, [3, 1, 2])) == ["3", "1", "2"]
    assert list(one_ahead(str, [])) == []
    made = one_ahead(lambda n: 1 / n, [1, 0, 2])
    assert next(made) == 1
    try:
        next(made)
    except ZeroDivisionError:
        return
    raise AssertionError("the error was lost")
