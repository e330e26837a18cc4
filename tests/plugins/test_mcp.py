from __future__ import annotations

import importlib
import sys

import pytest

from rerank_search.errors import MissingDependencyError


def test_a_missing_or_old_sdk_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("rerank_search.plugins.mcp")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "rerank-search\[mcp\]"'):
        importlib.import_module("rerank_search.plugins.mcp")
