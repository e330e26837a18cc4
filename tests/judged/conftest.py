"""A small judged collection, in a folder of the test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

DOCUMENTS = {
    "join": ("paths", "join the paths of files with a path"),
    "read": ("", "read the lines of a text file"),
    "boat": ("", "a boat on the river to the sea"),
}
QUERIES = {"q1": "how to join the paths of a file", "q2": "read the lines", "q3": "boat"}


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """The collection as a BEIR folder; its queries' grades are 2, 1 and 0."""
    folder = tmp_path / "small"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": id, "title": a, "text": b} for id, (a, b) in DOCUMENTS.items()]
    queries = [{"_id": id, "text": text} for id, text in QUERIES.items()]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "qrels/test.tsv").write_text("q1\tjoin\t2\nq2\tread\t1\nq3\tboat\t0\n")
    return folder
