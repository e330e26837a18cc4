from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from rerank_search import SearchOptions
from rerank_search.options import OPTIONS
from rerank_search.plugins.option_fields import OptionFields


def test_the_fields_are_those_of_the_search_options():
    assert [*OptionFields.model_fields] == [*OPTIONS]
    assert OptionFields().search_options == SearchOptions()
    given = {"top_k": np.int64(3), "filter": {"a": 1}, "budget_ms": 5, "min_relevance": 0.5}
    assert OptionFields(**given).search_options == SearchOptions(**given)
    assert type(OptionFields(**given).top_k) is int


@pytest.mark.parametrize(
    "wrong", [{"top_k": True}, {"top_k": 0}, {"rerank": "yes"}, {"top_k": "3"}]
)
def test_they_are_checked_as_search_options_are(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        OptionFields(**wrong)
