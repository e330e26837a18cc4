from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import fields
from typing import Literal, get_type_hints

import numpy as np
import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.options import OPTIONS, Option, SearchArguments, SearchOptions, merged
from rerank_search.searcher import Searcher


def test_arguments_for_editors_have_the_fields_and_types_of_the_options() -> None:
    assert get_type_hints(SearchArguments) == get_type_hints(SearchOptions)
    assert SearchArguments.__required_keys__ == frozenset()


@pytest.mark.parametrize("method", [Searcher.search, Searcher.search_batch])
def test_the_help_of_a_search_shows_every_option_with_its_default(method) -> None:
    shown = inspect.signature(method).parameters
    for option in fields(SearchOptions):
        assert shown[option.name].default == option.default
        assert shown[option.name].kind is inspect.Parameter.KEYWORD_ONLY


def test_every_option_has_a_help_of_one_line() -> None:
    assert [name for name in OPTIONS if not OPTIONS[name].help.endswith(".")] == []
    assert all("\n" not in option.help for option in OPTIONS.values())


def test_numbers_become_pythons_own() -> None:
    options = SearchOptions(top_k=np.int64(2), budget_ms=np.float32(0.5), min_relevance=1)
    assert (type(options.top_k), type(options.budget_ms)) == (int, float)
    assert type(options.min_relevance) is float
    assert SearchOptions(rerank=np.bool_(False)).rerank is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_k": 0}, "top_k=0 must be at least 1"),
        ({"top_k": None}, "top_k=None is not a whole number"),
        ({"candidates": 2.0}, "candidates=2.0 is not a whole number"),
        ({"budget_ms": 0}, "budget_ms=0 must be above 0"),
        ({"budget_ms": True}, "budget_ms=True is not a number"),
        ({"rerank": "no"}, "rerank='no' is not True or False"),
        ({"rerank": None}, "rerank=None is not True or False"),
        ({"min_relevance": -1}, "min_relevance=-1 must be at least 0"),
        ({"min_relevance": 1.5}, "min_relevance=1.5 must be at most 1"),
        ({"rerank": False, "budget_ms": 5}, "rerank=False and budget_ms=5.0 exclude each other"),
        ({"rerank": False, "min_relevance": 0}, "rerank=False and min_relevance=0.0 exclude"),
        ({"rerank": False, "instruction": "x"}, "rerank=False and instruction='x' exclude"),
        ({"instruction": " "}, "instruction=' ' is blank"),
        ({"instruction": 5}, "instruction=5 is not a string"),
    ],
)
def test_an_invalid_value_is_refused_by_name(arguments, message) -> None:
    with pytest.raises(InvalidInputError, match=message):
        SearchOptions(**arguments)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (int, np.int64(-3), -3),
        (int | None, None, None),
        (float, 2, 2.0),
        (float | None, np.float32(0.5), 0.5),
        (bool, np.bool_(True), True),
        (str, "ab", "ab"),
        (Literal["a", "b"], "b", "b"),
        (Literal["a", "b"] | None, None, None),
        (Sequence[str] | None, ["a"], ["a"]),
    ],
)
def test_an_option_takes_a_value_of_its_type(kind, value, expected) -> None:
    checked = Option("Help.").checked("new", kind, value)
    assert (checked, type(checked)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("option", "kind", "value", "message"),
    [
        (Option("Help."), int, 1.5, "new=1.5 is not a whole number but a float: give one"),
        (Option("Help."), int, None, "new=None is not a whole number"),
        (Option("Help.", gt=0), int | None, 0, "new=0 must be at least 1"),
        (Option("Help.", le=3), int, 4, "new=4 must be at most 3"),
        (Option("Help."), float, "1", "new='1' is not a number"),
        (Option("Help."), float | None, float("nan"), "new=nan is not finite"),
        (Option("Help."), bool | None, 1, "new=1 is not True or False"),
        (Option("Help."), str | None, 5, "new=5 is not a string but an int"),
        (Option("Help."), Literal["a", "b"], "c", "new='c' is unknown: use one of 'a', 'b'"),
    ],
)
def test_an_option_of_any_plain_type_is_checked(option, kind, value, message) -> None:
    with pytest.raises(InvalidInputError, match=message):
        option.checked("new", kind, value)


def test_as_many_documents_are_fetched_as_are_returned() -> None:
    assert SearchOptions(top_k=5, candidates=2).depth == 5
    assert SearchOptions(top_k=2, candidates=5).depth == 5


def test_arguments_replace_those_of_ready_options() -> None:
    options = SearchOptions(top_k=3, first_stage="bm25")
    assert merged(options, {"top_k": 5}) == SearchOptions(top_k=5, first_stage="bm25")
    assert merged(options, {}) == options
    assert merged(None, {}) == SearchOptions()


def test_an_unknown_argument_is_a_type_error_that_suggests_the_nearest() -> None:
    with pytest.raises(TypeError, match="'topk' is not a search option; did you mean 'top_k'"):
        merged(None, {"topk": 3})


def test_options_of_another_type_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"options={'top_k': 3} is not a SearchOptions"):
        merged({"top_k": 3}, {})


def test_a_repr_shows_the_beginning_of_a_filter() -> None:
    assert len(repr(SearchOptions(filter={"id": {"$in": ["x" * 100] * 1000}}))) < 1000
