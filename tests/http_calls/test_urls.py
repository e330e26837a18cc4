from __future__ import annotations

import pytest

from rerank_search import RemoteEncoder, RemoteReranker
from rerank_search.errors import InvalidInputError
from rerank_search.http_calls.urls import check_one, is_url, urls_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [("http://h/rerank", True), ("https://h", True), ("org/model", False), (None, False)],
)
def test_only_http_and_https_are_urls(name, expected):
    assert is_url(name) is expected


@pytest.mark.parametrize(
    ("name", "urls"),
    [
        ("http://a/rerank", ["http://a/rerank"]),
        ("http://a/rerank,https://b/rerank", ["http://a/rerank", "https://b/rerank"]),
        ("http://a/rerank#m , HTTP://b/rerank#m", ["http://a/rerank#m", "HTTP://b/rerank#m"]),
        ("http://a/x%2Cy/rerank", ["http://a/x%2Cy/rerank"]),
        ("org/a,org/b", ["org/a,org/b"]),
    ],
)
def test_commas_separate_urls(name: str, urls: list[str]) -> None:
    assert urls_of(name) == urls


@pytest.mark.parametrize(
    "url",
    [
        "http://a/rerank,b:80/rerank",
        "http://a/rerank,b",
        "http://a/rerank#m,b:80/rerank#m",
        "http://a/rerank,me:secret@b/rerank",
        "http://a/rerank#m,http://b/rerank#m",
    ],
)
def test_several_addresses_are_not_one_url(url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"comma after 'http://a/.* not one URL") as raised:
        check_one(url)
    assert "secret" not in str(raised.value)


def test_a_comma_in_the_name_of_a_model_is_no_further_address() -> None:
    check_one("http://a/x%2Cy/rerank#m,n")


def test_a_list_that_lacks_a_scheme_is_refused_when_a_model_is_made() -> None:
    with pytest.raises(InvalidInputError, match="comma after 'http://a/rerank'"):
        RemoteReranker("http://c/rerank,http://a/rerank,b:80/rerank")
    with pytest.raises(InvalidInputError, match="comma after 'http://a/v1/embeddings'"):
        RemoteEncoder("http://a/v1/embeddings,http://b/v1/embeddings")
