from __future__ import annotations

import pytest

from rerank_search import InvalidInputError
from rerank_search.plugins.option_names import renamed


def test_a_frameworks_name_is_replaced():
    given = {"k": 3, "filter": None}
    assert renamed(given, k="top_k", top_n="top_k") == {"top_k": 3, "filter": None}
    assert given == {"k": 3, "filter": None}


def test_an_option_that_is_given_by_both_names_is_refused():
    with pytest.raises(InvalidInputError, match="k=3 and top_k=5 are the same option"):
        renamed({"k": 3, "top_k": 5}, k="top_k")
