from __future__ import annotations

import pytest

from rerank_search.shown import counted, described, shown


def test_a_short_value_is_shown_by_its_repr() -> None:
    assert shown({"module": ["os", 1, None]}) == "{'module': ['os', 1, None]}"


def test_of_a_long_text_the_beginning_and_the_length_are_shown() -> None:
    assert shown("ab" * 1_000, 4) == "'abab'... (2,000 characters)"


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        "\0" * 10**6,
        b"x" * 10**6,
        ["x" * 1_000] * 1_000,
        {str(i): {str(j): "x" * 1_000 for j in range(100)} for i in range(100)},
        {"x" * 10**6},
        pytest.param(10**4_000, id="huge"),
        pytest.param(10**5_000, id="huger"),
    ],
)
def test_what_is_shown_is_bounded(value: object) -> None:
    assert len(shown(value)) <= 500


def test_a_value_whose_repr_fails_is_still_shown() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("broken")

    assert "Broken" in shown(Broken())


def test_a_repr_names_the_fields() -> None:
    assert described("Hit", id="a", score=3.5) == "Hit(id='a', score=3.5)"


def test_one_thing_is_counted_in_the_singular() -> None:
    assert counted(1, "candidate") == "1 candidate"
    assert counted(0, "query", "queries") == "0 queries"
    assert counted(1_000, "query", "queries") == "1,000 queries"
