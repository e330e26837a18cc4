"""The judgements in eval/collections/python-docs, against the docstrings of several Pythons."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from rerank_search.corpora import docstrings
from rerank_search.judged.formats.beir import load_beir

PYTHON_DOCS = Path(__file__).parents[2] / "eval/collections/python-docs"


def interpreter(version: str) -> str | None:
    """An interpreter of that version, on the path or from pyenv; None if there is none."""
    versions = Path.home() / ".pyenv/versions"
    found = shutil.which(f"python{version}")
    for path in ([found] if found else []) + sorted(
        map(str, versions.glob(f"{version}.*/bin/python"))
    ):
        # A shim of pyenv may exist for a version that is not installed, and then fails.
        command = [path, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if subprocess.run(command, capture_output=True, text=True).stdout.strip() == version:
            return path
    return None


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_every_judged_document_is_in_the_docstrings_of_each_version(version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    command = [python, "-I", "-S", "-W", "ignore", str(docstrings.__file__)]
    harvest = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    ids = {json.loads(line)["id"] for line in harvest.stdout.splitlines()}
    qrels = load_beir(PYTHON_DOCS, "test").qrels
    judged = {document for grades in qrels.values() for document in grades}
    assert judged
    assert judged - ids == set()
