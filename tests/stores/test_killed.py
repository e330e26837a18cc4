"""A writer that is killed: what it has acknowledged is there, and of the rest whole batches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rerank_search.stores import open_store

WRITER = """
import sys
from rerank_search import Document
from rerank_search.stores import open_store

with open_store(sys.argv[1], create=True, dimension=0) as store:
    for batch in range(1000):
        store.add([Document(f"{batch:03} {n}", "path") for n in range(10)])
        print(batch, flush=True)
"""


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("qdrant+edge://{}/docs", "qdrant_edge"),
        ("lancedb://{}/docs", "lancedb"),
        ("milvus://{}/x.db/docs", "milvus_lite"),
    ],
)
def test_what_was_acknowledged_is_there(url: str, package: str, tmp_path: Path) -> None:
    pytest.importorskip(package, reason="needs an extra")
    address = url.format(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, address], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        last = max(int(writer.stdout.readline()) for _ in range(5))
        writer.kill()
        last = max([last, *map(int, writer.stdout.read().split())])
    with open_store(address) as store:
        there = len(store)
        assert there >= 10 * (last + 1)
        assert there % 10 == 0
        acknowledged = [f"{batch:03} {n}" for batch in range(last + 1) for n in range(10)]
        assert None not in store.documents(acknowledged)
        [hits] = store.retriever("bm25").retrieve(["path"], there)
        assert len(hits) == there
