from __future__ import annotations

import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from rerank_search.storage.paths import name_of
from rerank_search.stores.attribute_keys import (
    attribute_keys,
    key_beginning,
    name_text,
    value_text,
)

numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(2**53 - 3, 2**53 + 3),
    st.floats(allow_nan=False),
    st.integers(-5, 5).map(float),
    st.integers(-5, 5),
)
texts = st.text(st.characters(max_codepoint=0x10FF, exclude_categories=["Cs"]), max_size=4)


@given(numbers, numbers)
@example(2**53, 2**53 + 1)
@example(2**63 - 1, float(2**63))
@example(-0.0, 0)
@example(math.inf, 2**63 - 1)
@example(5e-324, 0)
def test_numbers_are_ordered_as_their_texts(one: float, other: float) -> None:
    first, second = value_text("number", one), value_text("number", other)
    assert (first < second, first == second) == (one < other, one == other)
    assert len(first) == len(second)


@given(texts, texts)
@example("\0", "\x01")
@example("\x02a", "\x03")
@example("\x03", "\x0300")
def test_strings_are_ordered_and_begin_as_their_texts(one: str, other: str) -> None:
    first, second = value_text("string", one), value_text("string", other)
    assert (first < second, first == second) == (one < other, one == other)
    assert first.startswith(second) == one.startswith(other)
    assert (second in first) == (other in one)
    assert not {"\0", "\x01", "\x02"} & {*first}


def test_each_value_of_a_document_has_a_key() -> None:
    metadata: dict[str, Any] = {"a": ["x", 1], "a\x02b": True, "of": {"a": None}}
    keys = attribute_keys(metadata)
    assert keys == sorted(keys)
    beginnings = {
        key_beginning(name_of("a"), "string", member=True) + "x",
        key_beginning(name_of("a"), "number", member=True) + value_text("number", 1.0),
        key_beginning(name_of("a\x02b"), "bool", member=False) + "1",
        key_beginning(name_of("$.of.a"), "null", member=False) + "0",
    }
    assert beginnings <= {*keys}
    assert [key for key in keys if key.startswith(name_text(name_of("a")))] == [
        key for key in keys if key.startswith("ka\x02")
    ]
