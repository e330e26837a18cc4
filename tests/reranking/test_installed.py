"""Rerankers that installed packages add."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_search import InvalidInputError, ModelNotFoundError, PluginError
from rerank_search.reranking.installed import exact_version, installed_reranker

SOURCE = """
from rerank_search import ModelNotFoundError


class Failing:
    name = "failing"

    def __init__(self):
        raise OSError("no weights")


class Refusing:
    def __init__(self):
        raise ModelNotFoundError("run: get-weights")


class Useless:
    name = "useless"
"""


@pytest.fixture
def installed(install_package: Callable[..., Path]) -> Path:
    entries = {name: f"scorers:{name.title()}" for name in ("failing", "refusing", "useless")}
    return install_package({"scorers.py": SOURCE}, {"rerank_search.rerankers": entries})


def test_a_name_that_no_package_adds_is_no_reranker_of_a_package(installed: Path) -> None:
    assert installed_reranker("another") is None


def test_an_error_while_a_reranker_is_made_names_its_package_and_its_cause(
    installed: Path,
) -> None:
    with pytest.raises(PluginError, match=r"package my-search.*OSError: no weights") as caught:
        installed_reranker("failing")
    assert isinstance(caught.value.__cause__, OSError)


def test_an_error_of_this_library_passes_through(installed: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"^run: get-weights$"):
        installed_reranker("refusing")


def test_an_object_without_a_score_is_refused(installed: Path) -> None:
    with pytest.raises(PluginError, match="does not give a reranker") as caught:
        installed_reranker("useless")
    assert isinstance(caught.value.__cause__, InvalidInputError)


def test_other_code_is_another_version(installed: Path) -> None:
    before = exact_version("failing")
    (installed / "scorers.py").write_text(SOURCE + "CHANGED = True")
    assert exact_version("failing") != before
