from __future__ import annotations

import math
from collections.abc import AsyncIterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath

import numpy as np
import pandas
import pytest

from rerank_search.arguments import (
    document_id,
    id_list,
    model_name,
    path,
    real_number,
    several,
    whole_number,
)
from rerank_search.errors import InvalidInputError


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_any_integer_is_a_whole_number(value: object) -> None:
    number = whole_number("top_k", value)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "top_k=None is not a whole number: give one, at least 1"),
        (3.0, "top_k=3.0 is not a whole number but a float"),
        (math.nan, "top_k=nan"),
        (True, "top_k=True is not a whole number"),
        (np.float32(3), "float32"),
        ("3", "top_k='3'"),
        ([3], "but a list"),
        (0, "top_k=0 must be at least 1"),
        pytest.param(-(10**6000), "must be at least 1", id="huge"),
    ],
)
def test_what_is_no_whole_number_is_refused_with_its_value(value: object, message: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        whole_number("top_k", value)
    assert message in str(raised.value)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2), Fraction(2)])
def test_any_real_number_is_a_number(value: object) -> None:
    number = real_number("budget_ms", value, above=0)
    assert number == 2.0
    assert type(number) is float


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "is not a number"),
        (True, "is not a number"),
        ("2", "budget_ms='2' is not a number"),
        (Decimal(2), "is not a number"),
        (math.nan, "budget_ms=nan is not finite"),
        (math.inf, "budget_ms=inf is not finite"),
        pytest.param(10**400, "is not finite", id="huge"),
        (0, "budget_ms=0 must be above 0"),
    ],
)
def test_what_is_no_number_is_refused_with_its_value(value: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        real_number("budget_ms", value, above=0)


@pytest.mark.parametrize(
    ("value", "message"), [(-0.1, "at least 0"), (1.5, "at most 1"), (math.nan, "not finite")]
)
def test_a_number_has_to_be_within_its_bounds(value: float, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        real_number("min_relevance", value, least=0, most=1)


@pytest.mark.parametrize("value", ["5", 5, np.int64(5)])
def test_an_id_is_a_string_or_the_digits_of_an_integer(value: object) -> None:
    assert document_id(value) == "5"


@pytest.mark.parametrize("value", [5.0, True, None, b"5", math.nan, ["5"]])
def test_nothing_else_is_an_id(value: object) -> None:
    with pytest.raises(InvalidInputError, match="a document id is"):
        document_id(value)


def test_an_integer_that_python_does_not_write_is_not_an_id() -> None:
    with pytest.raises(InvalidInputError, match="too many digits"):
        document_id(10**5000)


def test_ids_may_be_a_set_since_they_need_no_order() -> None:
    assert sorted(id_list({1, "b"})) == ["1", "b"]
    assert sorted(id_list({"a": 1, "b": 2}.keys())) == ["a", "b"]


async def _texts() -> AsyncIterator[str]:
    yield "a"


@pytest.mark.parametrize(
    "value",
    [["a", "b"], ("a", "b"), iter(["a", "b"]), np.array(["a", "b"]), pandas.Series(["a", "b"])],
)
def test_lists_generators_arrays_and_columns_are_several_texts(value: object) -> None:
    assert list(several("texts", value, one="texts")) == ["a", "b"]  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("one", "texts='one' is one string: give a list of texts"),
        (b"one", "is one string"),
        ({"a": 1}, "texts is a dict"),
        ({"a"}, "texts is a set"),
        (pandas.DataFrame({"text": ["a"]}), "texts is a DataFrame"),
        (5, "texts=5 is not a list"),
        (None, "texts=None is not a list"),
        (_texts(), "texts is asynchronous"),
    ],
)
def test_what_is_not_several_texts_is_refused(value: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        several("texts", value, one="texts")  # type: ignore[type-var]


@pytest.mark.parametrize("value", ["a/b", Path("a/b"), PurePosixPath("a/b")])
def test_a_path_is_a_string_or_path_like(value: object) -> None:
    assert path("path", value) == Path("a/b")
    assert model_name("encoder", value) == str(Path("a/b"))


@pytest.mark.parametrize("value", [b"a", 5, None, object(), "a\0b"])
def test_nothing_else_is_a_path(value: object) -> None:
    with pytest.raises(InvalidInputError, match="path="):
        path("path", value)
