"""Some runtimes report usage to their makers when they are imported; here they must not."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rerank_search
from rerank_search.models.backends import imports

RUNTIMES = {"openvino": "openvino", "onnx": "onnxruntime"}

SCORES = """
import os, sys, threading

forks = []
sys.addaudithook(lambda event, _: forks.append(event) if event == "os.fork" else None)
sys.stdout = open(os.devnull, "w")
from rerank_search.reranking.cross_encoder import CrossEncoderReranker

model, *backends = sys.argv[1:]
for backend in backends:
    reranker = CrossEncoderReranker(model, backend=backend, dtype="float32", device="cpu")
    assert reranker.score([("a river", "a boat on the river")]).shape == (1,)
    assert not forks, (backend, forks)
assert "openvino_telemetry" not in sys.modules
"""


@pytest.mark.process
def test_runtimes_keep_no_id_of_the_machine_and_start_nothing(tiny_reranker: Path, tmp_path: Path):
    missing = [backend for backend in RUNTIMES if not importlib.util.find_spec(RUNTIMES[backend])]
    if missing or not importlib.util.find_spec("onnx"):
        pytest.skip(f"needs the extras {' and '.join(missing or RUNTIMES)}")
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    # In continuous integration, known by its variables, nothing would be reported anyway.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "ORT_")) and "CI" not in name.split("_")
    }
    environment |= {"HOME": str(home), "RERANK_SEARCH_CACHE": str(cache)}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCORES, str(tiny_reranker), *RUNTIMES],
        env=environment,
        check=True,
    )
    assert any(cache.rglob("*.onnx"))
    assert [path.name for path in home.rglob("*") if path.is_file()] == []


def test_a_user_may_want_the_reports(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    imports.onnxruntime()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"


def imported(file: Path) -> set[str]:
    """Top-level names of the packages that a file imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module or "")
    return {name.split(".")[0] for name in names}


@pytest.mark.process
def test_only_one_module_imports_the_runtimes():
    package = Path(rerank_search.__file__).parent
    importing = {file for file in package.rglob("*.py") if imported(file) & {*RUNTIMES.values()}}
    assert importing == {Path(imports.__file__)}
