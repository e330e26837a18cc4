from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from haystack.dataclasses import Document as Haystacks
from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter
from hypothesis import given
from hypothesis import strategies as st

from rerank_search import Document, Index
from rerank_search.plugins.haystack.filters import FEW, by_ids, translated

NUMBERS = [-10, 0, 1, 2.5, 2**70, None]
TEXTS = ["", "a", "b", "Ü", "𐐀", "a.b", None]
DATES = [f"20{year}-0{month}-01T12:00:00" for year in (19, 26) for month in (1, 7)]
ANY = [*NUMBERS, *TEXTS, ["a"], ["a", 1], [None], [], {"a": 1}]
METADATA: list[dict[str, Any]] = [
    *({"number": each} for each in NUMBERS),
    *({"text": each, "$odd": each, "a.b": each} for each in TEXTS),
    *({"date": each, "number": place} for place, each in enumerate(DATES)),
    *({"any": each} for each in ANY),
    *({"by": {"name": each, "of": {"a": each}}} for each in ANY),
    {"flag": True, "text": "a", "number": 1},
    {"flag": False},
    {"by": "a"},
    {},
]
DOCUMENTS = [Haystacks(id=f"{n:03}", meta=meta) for n, meta in enumerate(METADATA)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index.create(tmp_path_factory.mktemp("filters") / "index", encoder=None) as index:
        index.add(Document(each.id, "", metadata=each.meta) for each in DOCUMENTS)
        yield index


def found(index: Index, filters: dict[str, Any]) -> list[str]:
    return [each.id for each in index.find(translated(filters), warn=False)]


def expected(filters: dict[str, Any]) -> list[str]:
    return [each.id for each in DOCUMENTS if document_matches_filter(filters, each)]


def comparisons() -> st.SearchStrategy[dict[str, Any]]:
    def condition(fields, operators, values):
        return st.fixed_dictionaries(
            {
                "field": st.sampled_from(fields),
                "operator": st.sampled_from(operators),
                "value": values,
            }
        )

    scalars = st.sampled_from([*NUMBERS, *TEXTS, *DATES])
    equal, among, order = ["==", "!="], ["in", "not in"], [">", ">=", "<", "<="]
    everywhere = ["meta.any", "meta.text", "text", "meta.$odd", "meta.a.b", "meta.absent"]
    nested = ["meta.by.name", "meta.by.of.a", "meta.by.name.a"]
    return st.one_of(
        condition([*everywhere, *nested, "meta.number"], equal, scalars),
        condition([*everywhere, *nested, "meta.number"], among, st.lists(scalars, max_size=4)),
        condition(["meta.number", "number"], order, st.sampled_from(NUMBERS)),
        condition(["meta.date"], order, st.sampled_from([*DATES, None])),
        condition(["meta.date"], equal, st.sampled_from(list(map(datetime.fromisoformat, DATES)))),
        condition(["meta.flag"], equal, st.sampled_from([True, False, None])),
    )


def filters() -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(
        comparisons(),
        lambda parts: st.fixed_dictionaries(
            {
                "operator": st.sampled_from(["AND", "OR", "NOT"]),
                "conditions": st.lists(parts, max_size=3),
            }
        ),
        max_leaves=6,
    )


@given(filters=filters())
def test_a_filter_allows_what_haystack_itself_allows(index: Index, filters: dict[str, Any]):
    assert found(index, filters) == expected(filters)


def test_every_comparison_allows_what_haystack_itself_allows(index: Index):
    for field in ("meta.any", "meta.by.name"):
        for value in [*NUMBERS, *TEXTS]:
            for name, values in (
                ("==", value),
                ("!=", value),
                ("in", [value]),
                ("not in", [value]),
            ):
                condition = {"field": field, "operator": name, "value": values}
                assert found(index, condition) == expected(condition), condition


def test_a_value_may_be_one_of_many(index: Index):
    many = [*range(-FEW, FEW), *map(str, range(FEW)), *"abc", None]
    for field in ("meta.any", "meta.number", "meta.by.name"):
        condition = {"field": field, "operator": "in", "value": many}
        assert found(index, condition) == expected(condition) != []


def test_true_is_not_one_and_dates_are_compared_as_text(index: Index):
    one = {"field": "meta.flag", "operator": "==", "value": 1}
    assert found(index, one) == []
    assert len(expected(one)) == 1
    zoned = {"field": "meta.date", "operator": "==", "value": f"{DATES[0]}Z"}
    assert found(index, zoned) == []
    assert len(expected(zoned)) == 1


def test_members_of_lists_and_parts_of_texts_are_found_by_contains(index: Index):
    for field, value, matching in (
        ("meta.any", "a", ["a", "a.b", ["a"], ["a", 1]]),
        ("meta.any", 1, [["a", 1]]),
    ):
        contains = {"field": field, "operator": "contains", "value": value}
        values = [DOCUMENTS[int(id)].meta["any"] for id in found(index, contains)]
        assert sorted(map(str, values)) == sorted(map(str, matching))
        others = found(index, {**contains, "operator": "not contains"})
        assert sorted(others + found(index, contains)) == [each.id for each in DOCUMENTS]


def test_no_filter_allows_all():
    assert translated(None) == translated({}) == {}


SOME = {"field": "meta.a", "operator": "==", "value": 1}
DEEP: dict[str, Any] = SOME
for _ in range(2000):
    DEEP = {"operator": "AND", "conditions": [DEEP]}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ("lang == en", "'lang == en' is not a filter"),
        ([SOME], "is not a filter"),
        ({"lang": "en"}, "has no 'operator'"),
        ({**SOME, "boost": 2}, "unknown key 'boost'"),
        ({"operator": "AND", "conditions": [SOME], "not": 1}, "unknown key 'not'"),
        ({"operator": "XOR", "conditions": []}, "'XOR' does not combine"),
        ({"operator": "and", "conditions": []}, "'and' does not combine"),
        ({"operator": "AND", "conditions": SOME}, "give a list of filters"),
        ({"operator": "AND", "conditions": [None]}, "None is not a filter"),
        ({**SOME, "operator": "like"}, "'like' of 'meta.a' is not an operator"),
        ({**SOME, "operator": ["=="]}, "is not an operator"),
        ({**SOME, "field": 5}, "field 5 is not a string"),
        ({**SOME, "field": "content"}, "cannot be filtered by 'content'"),
        ({**SOME, "field": "id"}, "cannot be filtered by 'id'"),
        ({**SOME, "field": "meta"}, "cannot be filtered by 'meta'"),
        ({**SOME, "field": "author.name"}, "write it 'meta.author.name'"),
        ({**SOME, "value": [1]}, "or the operator contains"),
        ({**SOME, "value": {"a": 1}}, "or the operator contains"),
        ({**SOME, "value": float("nan")}, "compared with nan"),
        ({**SOME, "value": "\ud800"}, "surrogate"),
        ({**SOME, "operator": ">", "value": "b"}, "give a number, or a date"),
        ({**SOME, "operator": ">", "value": True}, "give a number, or a date"),
        ({**SOME, "operator": "contains", "value": [1]}, "compared with"),
        (DEEP, "nested more than 50 deep"),
    ],
)
def test_a_filter_without_a_translation_is_refused(filters: Any, message: str):
    with pytest.raises(FilterError, match=message):
        translated(filters)


def test_ids_are_found_alone_or_beside_other_conditions():
    one = {"field": "id", "operator": "==", "value": "a"}
    several = {"field": "id", "operator": "in", "value": ["b", "a", "b", ""]}
    assert by_ids(one) == (["a"], {})
    assert by_ids(several) == (["b", "a"], {})
    both = {"operator": "AND", "conditions": [SOME, several]}
    assert by_ids(both) == (["b", "a"], {"operator": "AND", "conditions": [SOME]})
    for other in (
        None,
        "id",
        SOME,
        {"operator": "OR", "conditions": [one]},
        {**one, "operator": ">"},
    ):
        assert by_ids(other) is None
    with pytest.raises(FilterError):
        by_ids({"operator": "AND", "conditions": [one, one]})
