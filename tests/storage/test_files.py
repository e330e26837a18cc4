from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from rerank_search.errors import IndexReadOnlyError
from rerank_search.storage.files import storage_errors


def test_documents_that_may_not_be_read_are_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = tmp_path / "documents.sqlite"
    documents.touch()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root has all permissions
    with pytest.raises(IndexReadOnlyError, match="cannot be read"), storage_errors(documents):
        raise sqlite3.OperationalError("unable to open database file")
