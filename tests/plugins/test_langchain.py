from __future__ import annotations

import importlib
import sys

import pytest

from rerank_search import MissingDependencyError
from rerank_search.plugins import langchain


def test_every_public_class_is_there():
    assert {getattr(langchain, name).__name__ for name in langchain.__all__} == {*langchain.__all__}


def test_without_langchain_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "rerank_search.plugins.langchain")
    monkeypatch.setitem(sys.modules, "langchain_core", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "rerank-search\[langchain\]"'):
        importlib.import_module("rerank_search.plugins.langchain")
