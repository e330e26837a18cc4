from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_search import InvalidInputError, PluginError
from rerank_search.stores import open_store
from rerank_search.stores.registry import backend_class, schemes
from tests.stores.listed import ListedStore

Install = Callable[..., Path]


def test_a_package_adds_a_store(install_package: Install):
    install_package({}, {"rerank_search.stores": {"listed": "tests.stores.listed:ListedStore"}})
    assert schemes()[-1] == "listed"
    assert backend_class("listed") is ListedStore


def test_an_unknown_scheme_is_told_the_known_ones():
    with pytest.raises(InvalidInputError, match=r"'nope': use one of postgresql, postgres,"):
        open_store("nope://ann:geheim@host/docs")


@pytest.mark.parametrize("value", ["gone:Store", "rerank_search.types:Document", "os:sep"])
def test_a_package_without_a_store_is_named(install_package: Install, value: str):
    install_package({}, {"rerank_search.stores": {"broken": value}})
    with pytest.raises(PluginError, match="package my-search"):
        open_store("broken:///docs")


def test_a_package_cannot_replace_a_store_of_this_one(install_package: Install):
    install_package({}, {"rerank_search.stores": {"postgresql": "tests.stores.listed:ListedStore"}})
    assert backend_class("postgresql") is not ListedStore
