from __future__ import annotations

import pytest

from rerank_search.serving.names import public_name


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("http://inside/rerank", "remote"),
        ("http://inside/rerank#jina", "jina"),
        ("http://inside/rerank#jina,http://further.inside/rerank#jina", "jina"),
        ("http://inside/rerank,http://further.inside/rerank", "remote"),
        ("org/model", "org/model"),
    ],
)
def test_callers_never_see_the_address_of_a_model(model, name):
    assert public_name(model) == name
