from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import pytest

from rerank_search import MissingDependencyError

ROOT = Path(__file__).parents[2]
CLASSES = {
    "haystack_integrations.components.rankers.rerank_search": "RerankSearchRanker",
    "haystack_integrations.components.retrievers.rerank_search": "RerankSearchRetriever",
    "haystack_integrations.document_stores.rerank_search": "RerankSearchDocumentStore",
}


@pytest.mark.parametrize(("module", "name"), CLASSES.items())
def test_without_haystack_the_command_that_installs_it_is_named(
    module: str, name: str, monkeypatch: pytest.MonkeyPatch
):
    assert importlib.import_module(module).__all__ == [name]
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "rerank_search.plugins.haystack")
    monkeypatch.setitem(sys.modules, "haystack", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "rerank-search\[haystack\]"'):
        importlib.import_module(module)


def test_other_distributions_can_add_to_the_folders_that_all_share():
    shared = [module.rpartition(".")[0].split(".") for module in CLASSES]
    for steps in shared:
        for depth in range(1, len(steps) + 1):
            assert not ROOT.joinpath(*steps[:depth], "__init__.py").exists()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert (
        "haystack_integrations" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    )


def test_no_test_sends_usage_data():
    assert importlib.import_module("haystack.telemetry._telemetry").telemetry is None
