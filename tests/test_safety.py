"""Code that the package must never contain."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import rerank_search

UNSAFE_MODULES = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}


def findings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in UNSAFE_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "") in UNSAFE_MODULES:
            yield str(node.module)
        elif isinstance(node, ast.keyword):
            named = node.arg in ("allow_pickle", "trust_remote_code")
            if named and not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield str(node.arg)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            yield "torch.load"


def test_nothing_unpickles_or_runs_code_of_a_model() -> None:
    files = sorted(Path(rerank_search.__file__).parent.rglob("*.py"))
    assert len(files) > 50
    found = [
        f"{file.name}: {finding}"
        for file in files
        for finding in findings(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_the_search_for_unsafe_code_finds_it() -> None:
    code = "import pickle\nf(allow_pickle=True)\ng(trust_remote_code=flag)\ntorch.load(x)\n"
    assert sorted(findings(ast.parse(code))) == [
        "allow_pickle",
        "pickle",
        "torch.load",
        "trust_remote_code",
    ]
