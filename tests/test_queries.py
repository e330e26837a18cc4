import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.queries import check_excluded, checked_k, query_list


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_an_error(k: int) -> None:
    with pytest.raises(InvalidInputError, match=f"k={k} must be at least 1"):
        checked_k(k)


@pytest.mark.parametrize(
    ("queries", "named"),
    [
        ("fish", "'fish' is one string"),
        (["fish", None], "not a string: None"),
        (["fish", "bad \ud800"], "surrogate at character 4"),
    ],
)
def test_queries_that_cannot_be_searched_are_told(queries: object, named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        query_list(queries)  # type: ignore[arg-type]


def test_any_text_is_a_query() -> None:
    queries = ["", "  ", '"( AND : \0', "東京 🙂"]
    assert query_list(queries) == queries


def test_an_option_that_another_excludes_is_told_with_both_names() -> None:
    check_excluded("rerank=False", budget_ms=None)
    with pytest.raises(InvalidInputError, match="rerank=False and budget_ms=5 exclude each other"):
        check_excluded("rerank=False", model=None, budget_ms=5)
