from __future__ import annotations

import pytest

from rerank_search import InvalidInputError
from rerank_search.stores import StoreUrl, is_store_url
from rerank_search.stores.url import store_url

SECRET = "gehe:im/1%"


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("postgresql://ann@host:5432/db?table=docs", ("postgresql", "host:5432", "/db")),
        ("POSTGRES:///db?table=docs", ("postgres", "", "/db")),
        ("qdrant+https://host:6333/docs", ("qdrant+https", "host:6333", "/docs")),
        ("qdrant:///var/lib/my%20folder/docs", ("qdrant", "", "/var/lib/my folder/docs")),
        ("milvus:///file.db/docs/", ("milvus", "", "/file.db/docs")),
        ("lancedb+s3://bucket/folder/docs", ("lancedb+s3", "bucket", "/folder/docs")),
    ],
)
def test_a_url_has_parts(given: str, parts: tuple[str, str, str]):
    url = store_url(given)
    assert (url.scheme, url.host, url.path) == parts


def test_the_last_part_of_the_path_names_the_collection():
    url = store_url("qdrant+https://host:6333/docs")
    assert (url.transport, url.folder, url.name) == ("https", "", "docs")
    local = store_url("lancedb:///a/folder/docs")
    assert (local.transport, local.folder, local.name) == ("", "/a/folder", "docs")


def test_a_login_is_decoded():
    url = store_url("postgresql://ann%40x:gehe%3Aim%2F1%25@host/db")
    assert (url.user, url.password) == ("ann@x", SECRET)


def test_an_at_sign_is_possible_where_no_password_can_be():
    assert store_url("lancedb:///home/ann@host/docs").folder == "/home/ann@host"
    url = store_url("qdrant+http://host:6333/ann%40host?text=a@b")
    assert (url.name, url.options) == ("ann@host", {"text": "a@b"})


def test_nothing_secret_is_shown():
    options = "table=docs&password=geheim&api_key=geheim&sslKEYlog=geheim"
    url = store_url(f"postgresql://ann:geheim@host/db?{options}")
    for shown in (str(url), repr(url), f"{url}"):
        assert "geheim" not in shown
    assert str(url).startswith("postgresql://ann:***@host/db?table=docs&password=***")
    assert url.options["password"] == "geheim"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("postgresql:geheim", "not the URL of a store"),
        ("geheim", "not the URL of a store"),
        ("", "not the URL of a store"),
        ("postgresql://ann:geheim@[::1/db", "cannot be read"),
        ("postgresql://ann:geheim@host/db?table", "cannot be read"),
        ("postgresql://ann:geheim@host/db?table=%ff", "cannot be read"),
        ("postgresql://ann:ge#heim@host/db", "has a #"),
        ("postgresql://ann:1/geheim@host/db?table=docs", "an @ after its host"),
        ("postgresql://ann:1?geheim@host/db?table=docs", "an @ after its host"),
        ("postgresql://ann:x@geheim/1@host/db?table=docs", "an @ after its host"),
        ("postgresql://ann:geheim@host/db?a=1&a=2", "'a' twice"),
    ],
)
def test_an_invalid_url_is_refused_without_its_password(given: str, reason: str):
    with pytest.raises(InvalidInputError, match=reason) as refused:
        store_url(given)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("given", [None, 5, b"postgresql://host/db", StoreUrl])
def test_only_a_string_is_a_url(given: object):
    with pytest.raises(InvalidInputError, match="not a string"):
        store_url(given)  # type: ignore[arg-type]
    assert not is_store_url(given)


def test_paths_and_web_addresses_are_not_stores():
    assert is_store_url("postgresql://host/db?table=docs")
    for other in ("indexes/docs", "C:/docs", "http://host/x", "HTTPS://host", "file:///docs"):
        assert not is_store_url(other)
