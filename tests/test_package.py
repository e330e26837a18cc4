"""The package as a whole: its public names, and what importing it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rerank_search


def test_every_public_name_is_there():
    for name in rerank_search.__all__:
        assert getattr(rerank_search, name) is not None
    assert set(dir(rerank_search)) == set(rerank_search.__all__)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(rerank_search, "Nothing")


def test_importing_the_package_loads_no_heavy_library():
    code = """
import sys, rerank_search
heavy = {"torch", "faiss", "tantivy", "sentence_transformers", "transformers", "numpy", "fastapi"}
raise SystemExit(", ".join(heavy & set(sys.modules)) or None)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.process
def test_what_a_search_is_made_of_is_imported_without_the_libraries_of_models():
    code = """
import sys, rerank_search.searcher, rerank_search.index, rerank_search.serving.app
import rerank_search.reranking.cross_encoder, rerank_search.reranking.loaded_later
heavy = {"torch", "faiss", "sentence_transformers", "transformers", "scipy", "sklearn", "pandas"}
raise SystemExit(", ".join(heavy & set(sys.modules)) or None)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
