from __future__ import annotations

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.stores.named import is_named_store, named_store
from rerank_search.stores.url import store_url


@pytest.mark.parametrize(
    ("given", "name", "url", "stage"),
    [
        ("pg://host/db?table=docs", "docs", "pg://host/db?table=docs", None),
        ("qdrant:///folder/notes", "notes", "qdrant:///folder/notes", None),
        ("qdrant:///folder/notes#dense", "notes-dense", "qdrant:///folder/notes", "dense"),
        ("mine=pg://host/db?table=docs", "mine", "pg://host/db?table=docs", None),
        ("mine=pg://host/db?table=docs#text", "mine", "pg://host/db?table=docs", "text"),
        ("pg://host/db?table=docs&a=b://c", "docs", "pg://host/db?table=docs&a=b://c", None),
    ],
)
def test_a_store_is_named_by_its_url_or_before_it(given, name, url, stage) -> None:
    assert is_named_store(given)
    store = named_store(given)
    assert (store.name, store.url, store.stage) == (name, url, stage)


@pytest.mark.parametrize(
    "given",
    ["notes", "a=b", "indexes/a", "http://host/v1/indexes/a", "a=https://host", "my:store", "", 5],
)
def test_other_things_are_no_stores(given) -> None:
    assert not is_named_store(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("pg://ann:hush@host", "write NAME=URL"),
        ("pg://ann:hush@host/d\u00fc", "write NAME=URL"),
        ("my docs=pg://ann:hush@host/db", "cannot be the name of a store"),
        ("=pg://ann:hush@host/db", "cannot be the name of a store"),
        ("a/b=pg://ann:hush@host/db", "cannot be the name of a store"),
        (f"{'a' * 65}=pg://ann:hush@host/db", "cannot be the name of a store"),
        ("pg://ann:hu#sh@host/db", "%23"),
    ],
)
def test_an_error_about_a_store_does_not_show_the_password(given: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as refused:
        named_store(given)
    assert "hu" not in str(refused.value)


def test_a_named_store_does_not_show_its_url() -> None:
    assert "hush" not in repr(named_store("mine=pg://ann:hush@host/db"))


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("pg://ann:hush@host/db", True),
        ("pg://host/db?sslpassword=hush", True),
        ("pg://ann@host/db?table=docs", False),
    ],
)
def test_a_url_tells_whether_it_has_a_secret(url: str, secret: bool) -> None:
    assert store_url(url).has_secret is secret
    assert "hush" not in f"{store_url(url)}{store_url(url)!r}"
