from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_search import InvalidInputError, MissingDependencyError, PluginError
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


@pytest.mark.parametrize("login", ["ann:geheim", "ann", ":geheim"])
def test_only_a_store_that_has_users_takes_one_in_its_url(login: str):
    with pytest.raises(InvalidInputError, match="a user or a password") as refused:
        open_store(f"qdrant+https://{login}@host/docs")
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("value", ["gone:Store", "rerank_search.types:Document", "os:sep"])
def test_a_package_without_a_store_is_named(install_package: Install, value: str):
    install_package({}, {"rerank_search.stores": {"broken": value}})
    with pytest.raises(PluginError, match="package my-search"):
        open_store("broken:///docs")


def test_a_package_cannot_replace_a_store_of_this_one(install_package: Install):
    install_package({}, {"rerank_search.stores": {"postgresql": "tests.stores.listed:ListedStore"}})
    assert backend_class("postgresql") is not ListedStore


def test_a_missing_package_is_told_with_the_command_that_installs_it(
    in_child: Callable[[Callable[[], object]], bool],
):
    def told() -> bool:
        for name in [each for each in sys.modules if each.startswith("rerank_search.stores.post")]:
            del sys.modules[name]
        sys.modules["psycopg"] = None  # type: ignore[assignment]
        with pytest.raises(MissingDependencyError) as missing:
            backend_class("postgresql")
        return 'pip install "rerank-search[postgres]"' in str(missing.value)

    assert in_child(told)
