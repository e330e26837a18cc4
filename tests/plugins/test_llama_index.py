from __future__ import annotations

import importlib
import sys

import pytest

from rerank_search import MissingDependencyError
from rerank_search.plugins import llama_index


def test_every_public_class_is_there():
    assert {getattr(llama_index, name).__name__ for name in llama_index.__all__} == {
        *llama_index.__all__
    }


def test_without_llamaindex_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "rerank_search.plugins.llama_index")
    monkeypatch.setitem(sys.modules, "llama_index.core", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "rerank-search\[llama-index\]"'):
        importlib.import_module("rerank_search.plugins.llama_index")
