from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rerank_search.errors import InvalidInputError
from rerank_search.http_calls.keys import key_variable, stored_key


@pytest.mark.parametrize(
    ("host", "variable"),
    [
        ("api.jina.ai", "RERANK_SEARCH_KEY_API_JINA_AI"),
        ("localhost", "RERANK_SEARCH_KEY_LOCALHOST"),
        ("::1", "RERANK_SEARCH_KEY___1"),
        ("my-host", "RERANK_SEARCH_KEY_MY__HOST"),
        ("API-x.ai", "RERANK_SEARCH_KEY_API__X_AI"),
        ("my_host", "RERANK_SEARCH_KEY_MY___5FHOST"),
        ("fe80::1", "RERANK_SEARCH_KEY_FE80___3A___3A1"),
    ],
)
def test_the_variable_with_a_key_has_the_hosts_name(host, variable):
    assert key_variable(host) == variable


hosts = st.text("ab1.-_:", min_size=1, max_size=8)


@given(hosts, hosts)
@example("api-x.ai", "api.x.ai")
@example("::1", "a.1")
@example("a_b", "a-b")
@example("a._b", "a--5fb")
def test_two_hosts_share_no_variable(one: str, other: str) -> None:
    assume(one != other)
    assert key_variable(one) != key_variable(other)


def test_a_key_is_read_from_its_variable(monkeypatch):
    monkeypatch.delenv("RERANK_SEARCH_KEY_H", raising=False)
    assert stored_key("RERANK_SEARCH_KEY_H") is None
    monkeypatch.setenv("RERANK_SEARCH_KEY_H", "")
    assert stored_key("RERANK_SEARCH_KEY_H") is None
    monkeypatch.setenv("RERANK_SEARCH_KEY_H", "secret")
    assert stored_key("RERANK_SEARCH_KEY_H") == "secret"


@pytest.mark.parametrize("key", ["secret\n", "secr\N{LATIN SMALL LETTER E WITH ACUTE}t"])
def test_a_key_that_no_header_can_have_is_refused_by_its_variable(key, monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_KEY_H", key)
    with pytest.raises(InvalidInputError, match="KEY_H is not valid: give the key") as raised:
        stored_key("RERANK_SEARCH_KEY_H")
    assert key.strip() not in str(raised.value)
