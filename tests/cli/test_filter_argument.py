from __future__ import annotations

import pytest
import typer

from rerank_search.cli.filter_argument import parsed_filter


@pytest.mark.parametrize(
    ("argument", "parsed"),
    [
        ("module=os", {"module": {"$eq": "os"}}),
        ("year>=2020", {"year": {"$gte": 2020}}),
        ("year <= 2020", {"year": {"$lte": 2020}}),
        ("score<0.5", {"score": {"$lt": 0.5}}),
        ("score>-1", {"score": {"$gt": -1}}),
        ("lang!=en", {"lang": {"$ne": "en"}}),
        ("draft=true", {"draft": {"$eq": True}}),
        ("version=3.10", {"version": {"$eq": "3.10"}}),
        ('year="2020"', {"year": {"$eq": "2020"}}),
        ("formula=a=b", {"formula": {"$eq": "a=b"}}),
        ("note=", {"note": {"$eq": ""}}),
        ("file~=docs/*.md", {"file": {"$glob": "docs/*.md"}}),
        ('year ~= "202?"', {"year": {"$glob": "202?"}}),
        ("year~=2020", {"year": {"$glob": "2020"}}),
        ("$.by.name=Ann", {"$.by.name": {"$eq": "Ann"}}),
        ('{"year": {"$gte": 2020}}', {"year": {"$gte": 2020}}),
    ],
)
def test_an_argument_becomes_a_condition(argument: str, parsed: object) -> None:
    assert parsed_filter([argument]) == parsed


def test_repeated_arguments_are_joined_by_and() -> None:
    assert parsed_filter(["a=1", '{"b": 2}']) == {"$and": [{"a": {"$eq": 1}}, {"b": 2}]}


def test_no_argument_is_no_filter() -> None:
    assert parsed_filter([]) is None


@pytest.mark.parametrize("argument", ["module", "=os", "", '{"a": }', '{"a": 1} x'])
def test_anything_else_is_wrong_usage(argument: str) -> None:
    with pytest.raises(typer.BadParameter, match="--filter"):
        parsed_filter([argument])
