"""What commands import: an unneeded library adds seconds to each cold start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

from rerank_search import Index

LIBRARIES = {"transformers", "sentence_transformers", "datasets", "sklearn", "scipy", "pandas"}
MODELS = LIBRARIES | {"torch", "tokenizers", "safetensors"}
EVERYTHING = MODELS | {"numpy", "faiss", "tantivy", "fastapi", "rich"}

RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}
EXPORTED = [name for name, runtime in RUNTIMES.items() if all(map(find_spec, ("onnx", runtime)))]
"""The backends that are installed, besides torch."""

PROGRAM = """
import json, os, sys
from rerank_search.cli.main import main
for commands, environment in json.loads(sys.argv[1]):
    os.environ.update(environment)
    for command in commands:
        sys.argv = ["rerank-search", *command]
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, command
    print(end="\\f", flush=True)
    print(json.dumps(sorted(name for name in sys.modules if "." not in name)), file=sys.stderr)
"""


@dataclass(frozen=True, slots=True)
class Step:
    """Commands, and what the output of each of them contains."""

    commands: Sequence[Sequence[str]]
    expect: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


Imported = Callable[[str], set[str]]


@pytest.fixture(scope="module")
def imported(
    tmp_path_factory: pytest.TempPathFactory,
    made: Callable[..., Path],
    tiny_encoder: Path,
    tiny_reranker: Path,
) -> Imported:
    """The top-level modules that a process has imported when it has done a step.

    One process does all steps, those that import less first: a step that imports too much fails
    as it would in a process of its own.
    """
    folder = tmp_path_factory.mktemp("startup")
    encoder = ("--encoder", str(tiny_encoder))
    shutil.copytree(made("--no-encoder") / "index", folder / "indexes" / "notes")
    for name in ("both", "emptied"):
        shutil.copytree(made(*encoder) / "index", folder / "indexes" / name)
    with Index.open(folder / "indexes" / "emptied") as index:
        index.delete(["join", "shell", "split"])
    Index.create(folder / "indexes" / "empty", encoder=str(tiny_encoder)).close()
    (folder / "new.jsonl").write_text('{"id": "new", "text": "a new boat on the river"}\n')

    search = ("search", "both", "join two paths", "--json")
    # The first search loads the reranker.
    in_time = (*search, "--first-stage", "bm25", "--no-fusion", "--budget-ms", "900")
    steps = {
        "help": Step([("--help",), ("search", "--help")], "Usage: "),
        "indexes": Step([("index", "list")], "both"),
        "models": Step([("models",)], "rerank-search-base"),
        "managing": Step(
            [
                *(("index", command, "notes") for command in ("info", "compact", "rebuild")),
                ("index", "delete", "notes", "nobody"),
                ("search", "both", "join", "--first-stage", "bm25", "--no-rerank"),
            ]
        ),
        "nothing found": Step(
            [
                ("search", "both", "join", "--filter", "module=nowhere"),  # allows nothing
                *(("search", "both", query, "--first-stage", "hybrid") for query in ("", "?!")),
                *(("search", index, "join two paths") for index in ("empty", "emptied")),
            ],
            "nothing found",
        ),
        "searching": Step([in_time, search], '"reranked": true'),
        "encoding": Step(
            [
                ("index", "create", "more", *encoder),
                ("index", "add", "both", "new.jsonl"),
                ("index", "verify", "both"),
            ]
        ),
    }
    for backend in EXPORTED:
        settings = {"RERANK_SEARCH_BACKEND": backend, "RERANK_SEARCH_CACHE": str(folder / backend)}
        exported = (*search, "--reranker", str(tiny_reranker))
        # The first one exports.
        steps[backend] = Step([exported, exported], '"reranked": true', settings)

    asked = json.dumps([(step.commands, step.environment) for step in steps.values()])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, asked],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "RERANK_SEARCH_HOME"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for step, output in zip(steps.values(), done.stdout.split("\f"), strict=False):
        assert output.count(step.expect) >= len(step.commands), output
    lines = [line for line in done.stderr.splitlines() if line.startswith("[")]
    modules = dict(zip(steps, map(set, map(json.loads, lines)), strict=True))
    return modules.__getitem__


def test_help_imports_nothing(imported: Imported) -> None:
    assert not imported("help") & EVERYTHING


def test_indexes_are_listed_without_opening_them(imported: Imported) -> None:
    assert not imported("indexes") & (MODELS | {"numpy", "faiss", "tantivy"})


def test_models_are_listed_without_loading_them(imported: Imported) -> None:
    assert not imported("models") & (MODELS | {"numpy", "faiss", "tantivy"})


@pytest.mark.process
def test_no_model_is_loaded_for_the_first_stage_alone_and_for_managing_an_index(
    imported: Imported,
) -> None:
    assert not imported("managing") & MODELS


@pytest.mark.process
def test_no_model_is_loaded_for_what_needs_none(imported: Imported) -> None:
    assert not imported("nothing found") & MODELS


@pytest.mark.process
def test_searches_load_a_model_without_the_libraries_and_before_their_time_budget(
    imported: Imported,
) -> None:
    found = imported("searching")
    assert not found & LIBRARIES
    assert "torch" in found


@pytest.mark.process
def test_what_encodes_does_without_the_libraries(imported: Imported) -> None:
    assert not imported("encoding") & LIBRARIES


@pytest.mark.process
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_so_does_one_that_an_exported_model_computes(backend: str, imported: Imported) -> None:
    if backend not in EXPORTED:
        pytest.skip(f"needs the extra {backend}")
    assert not imported(backend) & LIBRARIES


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
