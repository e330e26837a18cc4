from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.models.batches import each, even_budget, token_batches


@given(
    st.lists(st.integers(0, 300), max_size=60), st.integers(1, 2000), st.none() | st.integers(1, 9)
)
def test_batches_hold_every_item_once_within_the_budget(lengths, budget, most):
    array = np.array(lengths, dtype=np.int64)
    batches = list(token_batches(array, budget, most))

    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or array[batch].max() * len(batch) <= budget
        assert most is None or len(batch) <= most
    flat = [lengths[i] for batch in batches for i in batch]
    assert flat == sorted(flat, reverse=True)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 20_000))
def test_less_than_a_twentieth_of_a_batch_is_padding_unless_it_is_small(lengths, budget):
    array = np.array(lengths, dtype=np.int64)
    batches = list(token_batches(array, budget))
    for batch, following in zip(batches, [*batches[1:], None], strict=True):
        padded = array[batch].max() * len(batch)
        assert array[batch].sum() > 0.95 * padded or padded <= budget / 4
        if following is not None:  # one more would be too many tokens, or too much padding
            more = array[batch].max() * (len(batch) + 1)
            filled = array[batch].sum() + array[following[0]]
            assert more > budget or (more > budget / 4 and filled <= 0.95 * more)


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_results_are_in_the_order_of_the_items_however_many_are_computed_at_once(at_once):
    together = threading.Barrier(at_once)  # passes only when this many threads wait

    def squared(number: int) -> int:
        together.wait(timeout=30)
        return number**2

    assert list(each(squared, range(10), at_once)) == [number**2 for number in range(10)]


@pytest.mark.parametrize("at_once", [1, 3])
def test_after_an_error_no_other_item_is_begun(at_once):
    begun = []

    def fail_first(number: int) -> int:
        begun.append(number)
        if number == 0:
            raise ValueError("the first")
        threading.Event().wait(0.05)
        return number

    with pytest.raises(ValueError, match="the first"):
        list(each(fail_first, range(50), at_once))
    assert len(begun) < 20


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=60),
    st.integers(1, 5000),
    st.integers(1, 16),
)
def test_budgets_give_each_thread_as_many_tokens(lengths, most, at_once):
    budget = even_budget(np.array(lengths, dtype=np.int64), most, at_once)
    assert 1 <= budget <= most
    rounds = -(-sum(lengths) // (budget * at_once))
    assert rounds == -(-sum(lengths) // (most * at_once))  # no more than needed
    assert budget * at_once * rounds < sum(lengths) + at_once * rounds  # no larger than needed


def test_an_iterator_is_read_while_items_before_it_are_computed():
    begun = threading.Event()

    def items():
        yield 1
        assert begun.wait(timeout=30)  # set by the computation of the first item
        yield 2

    def doubled(number: int) -> int:
        begun.set()
        return number * 2

    assert list(each(doubled, items(), 2)) == [2, 4]


def test_an_error_of_an_iterator_ends_what_it_has_started():
    begun = []

    def items():
        yield from range(50)
        raise ValueError("no more items")

    def slow(number: int) -> None:
        begun.append(number)
        threading.Event().wait(0.05)

    with pytest.raises(ValueError, match="no more items"):
        list(each(slow, items(), 2))
    assert len(begun) < 20
