"""An index without documents, which tests copy: making one takes longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank_search import Index


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an index without documents and vectors; tests only read it."""
    folder = tmp_path_factory.mktemp("empty") / "index"
    Index.create(folder, encoder=None).close()
    return folder
