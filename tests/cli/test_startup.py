"""What commands import: an unneeded library adds seconds to each cold start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import Result

LIBRARIES = {"transformers", "sentence_transformers", "datasets", "sklearn", "scipy", "pandas"}
MODELS = LIBRARIES | {"torch", "tokenizers", "safetensors"}
EVERYTHING = MODELS | {"numpy", "faiss", "tantivy", "fastapi", "rich"}

PROGRAM = """
import json, sys
from rerank_search.cli.main import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["rerank-search", *command]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, command
sys.stdout.flush()
print(json.dumps(sorted(name for name in sys.modules if "." not in name)), file=sys.stderr)
"""

Imports = Callable[..., set[str]]


@pytest.fixture
def imports(folder: Path) -> Imports:
    """The top-level modules that commands have imported, once they are done, in one process."""

    def of(*commands: Sequence[str], expect: str = "", **environment: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(commands)],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(expect) >= len(commands)
        return set(json.loads(done.stderr.splitlines()[-1]))

    return of


def test_help_imports_nothing(imports: Imports) -> None:
    assert not imports(("--help",), ("search", "--help"), expect="Usage: ") & EVERYTHING


@pytest.mark.process
def test_searches_load_a_model_without_the_libraries_and_before_their_time_budget(
    both: str, imports: Imports
) -> None:
    search = ("search", both, "join two paths", "--json")
    # The first one loads the reranker.
    in_time = (*search, "--first-stage", "bm25", "--no-fusion", "--budget-ms", "900")
    found = imports(in_time, search, expect='"reranked": true')
    assert not found & LIBRARIES
    assert "torch" in found


@pytest.mark.process
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_so_does_one_that_an_exported_model_computes(
    backend: str, both: str, imports: Imports, tiny_reranker: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[backend])
    arguments = ("search", both, "join two paths", "--json", "--reranker", str(tiny_reranker))
    settings = {"RERANK_SEARCH_BACKEND": backend, "RERANK_SEARCH_CACHE": str(tmp_path / "cache")}
    # The first one exports.
    assert not imports(arguments, arguments, expect='"reranked": true', **settings) & LIBRARIES


@pytest.mark.process
def test_no_model_is_loaded_for_what_needs_none(
    both: str, run: Callable[..., Result], imports: Imports, tiny_encoder: Path
) -> None:
    run("index", "create", "empty", "--encoder", str(tiny_encoder))
    shutil.copytree(Path("indexes", both), "indexes/emptied")
    run("index", "delete", "emptied", "join", "shell", "split")
    found_nothing = [
        ("search", both, "join", "--filter", "module=nowhere"),  # allows nothing
        *(("search", both, query, "--first-stage", "hybrid") for query in ("", "?!")),
        *(("search", index, "join two paths") for index in ("empty", "emptied")),
    ]
    assert not imports(*found_nothing, expect="nothing found") & MODELS


@pytest.mark.process
def test_no_model_is_loaded_for_the_first_stage_alone_and_for_managing_an_index(
    both: str, imports: Imports
) -> None:
    commands = [("index", command, "notes") for command in ("info", "compact", "rebuild")]
    commands += [("index", "delete", "notes", "nobody")]
    commands += [("search", both, "join", "--first-stage", "bm25", "--no-rerank")]
    assert not imports(*commands) & MODELS


def test_indexes_are_listed_without_opening_them(both: str, imports: Imports) -> None:
    found = imports(("index", "list"), expect="both")
    assert not found & (MODELS | {"numpy", "faiss", "tantivy"})


def test_models_are_listed_without_loading_them(imports: Imports) -> None:
    found = imports(("models",), expect="rerank-search-base")
    assert not found & (MODELS | {"numpy", "faiss", "tantivy"})


@pytest.mark.process
def test_what_encodes_does_without_the_libraries(
    both: str, imports: Imports, tiny_encoder: Path
) -> None:
    Path("new.jsonl").write_text('{"id": "new", "text": "a new boat on the river"}\n')
    found = imports(
        ("index", "create", "more", "--encoder", str(tiny_encoder)),
        ("index", "add", both, "new.jsonl"),
        ("index", "verify", both),
    )
    assert not found & LIBRARIES
    assert "torch" in found


def test_a_wrong_reranker_is_told_though_it_is_loaded_late(
    both: str, called: Callable[..., subprocess.CompletedProcess[str]], tiny_reranker: Path
) -> None:
    damaged = Path(shutil.copytree(tiny_reranker, "damaged"))
    (damaged / "model.safetensors").write_bytes(b"{")
    done = called("search", both, "join two paths", "--reranker", "damaged")
    assert done.returncode == 1
    assert "the model 'damaged' in damaged cannot be read" in done.stderr
    config = json.loads((tiny_reranker / "config.json").read_text())
    shutil.rmtree(damaged)
    shutil.copytree(tiny_reranker, damaged)
    (damaged / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))
    done = called("search", both, "join two paths", "--reranker", "damaged")
    assert done.returncode == 2
    assert "is a BertModel" in done.stderr
    done = called("search", both, "", "--reranker", "nobody", RERANK_SEARCH_OFFLINE="1")
    assert done.returncode == 1
    assert "'nobody'" in done.stderr


@pytest.mark.slow
def test_a_first_load_says_what_it_measures_and_for_how_long(
    both: str,
    called: Callable[..., subprocess.CompletedProcess[str]],
    tiny_reranker: Path,
    tmp_path: Path,
) -> None:
    pytest.importorskip("onnxruntime")
    arguments = ("search", both, "join two paths", "--reranker", str(tiny_reranker))
    settings = {"RERANK_SEARCH_BACKEND": "auto", "RERANK_SEARCH_CACHE": str(tmp_path / "cache")}
    told = called(*arguments, **settings).stderr
    assert "measuring which backend computes this model fastest, once, in 30 s at most" in told
    assert "measured in " in told
    assert "measuring which" not in called(*arguments, **settings).stderr
