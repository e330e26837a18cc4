"""Use a reranker, an index and a searcher in a process, its child and its grandchild.

    python tests/forked.py openvino onnx --reranker DIRECTORY --encoder DIRECTORY --folder DIRECTORY

This is a separate program, because the tests' process computes with one thread, which no fork
disturbs.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from rerank_search import Cascade, Document, Index, IndexLockedError, Searcher
from rerank_search.reranking.cross_encoder import CrossEncoderReranker

TEXTS = ["join file paths", "the bread is in the oven", "a boat on the river " * 20] * 8
PAIRS = [(f"how to join {i}", text) for i, text in enumerate(TEXTS)]
TIMEOUT = 200.0


def generations(work: Callable[[], None], count: int, *, exits: bool) -> None:
    """Let a child do the work, then its child, and so on. Raises RuntimeError if one fails."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            if count > 1:
                generations(work, count - 1, exits=exits)
            code = 0
        except SystemExit:  # a grandchild ends
            raise
        except BaseException:
            traceback.print_exc()
        if exits:
            sys.exit(code)
        os._exit(code)
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                raise RuntimeError(f"a child of generation {count} failed: {status}")
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise RuntimeError(f"a child of generation {count} hangs")


def rerank(backend: str, model: str) -> None:
    """Score in the parent, and with the same objects in children."""
    options = {"backend": backend, "dtype": "float32", "device": "cpu"}
    reranker = CrossEncoderReranker(model, **options)
    cascade = Cascade([reranker, CrossEncoderReranker(model, **options)], keep=[1])
    scores, best = reranker.score(PAIRS), cascade.score(PAIRS)
    predicted = reranker.predict(PAIRS)

    def work() -> None:
        np.testing.assert_allclose(reranker.score(PAIRS), scores, atol=1e-4)
        np.testing.assert_allclose(reranker.predict(PAIRS), predicted, atol=1e-4)
        np.testing.assert_allclose(cascade.score(PAIRS), best, atol=1e-4)
        again = CrossEncoderReranker(model, **options)  # loading computes too
        np.testing.assert_allclose(again.score(PAIRS), scores, atol=1e-4)

    generations(work, 2, exits=False)
    generations(lambda: None, 1, exits=True)
    generations(work, 1, exits=True)


def search(model: str, encoder: str, folder: Path) -> None:
    """Search in the parent, search and write in children; with one writer at a time, as always."""
    documents = [Document(str(i), f"{text} {i}") for i, text in enumerate(TEXTS)]
    with Index.create(folder / "index", encoder=encoder, lock_timeout=0.5) as index:
        index.add(documents)
        reader = Index.open(folder / "index", read_only=True)
        reranker = CrossEncoderReranker(model, backend="torch", dtype="float32", device="cpu")
        searchers = [Searcher(each, reranker) for each in (index, reader)]
        # FAISS splits this many queries among its threads.
        queries = [f"join the paths {i}" for i in range(64)]
        nearest = index.retriever("dense").retrieve(queries, 5)
        expected = searchers[0].search(queries[0], candidates=20).hits

        def reads() -> None:
            for each, searcher in zip((index, reader), searchers, strict=True):
                assert each.retriever("dense").retrieve(queries, 5) == nearest
                assert searcher.search(queries[0], candidates=20).hits == expected

        reads()
        generations(reads, 2, exits=True)
        reads()

        def adds() -> None:
            name = f"of {os.getpid()}"
            index.add([Document(name, "written by a child about a tower")])
            assert index.get(name) is not None
            [found] = index.retriever("bm25").retrieve(["tower"], 5)
            assert [hit.id for hit in found] == [name]
            assert searchers[0].search("tower", candidates=10).hits
            index.close()

        generations(adds, 1, exits=True)
        assert index.refresh()
        assert len(index) == len(documents) + 1
        index.add([Document("last", "written by the parent")])
        assert index.verify() == []

        def is_refused() -> None:
            try:
                index.add([Document("refused", "text")])
            except IndexLockedError:
                return
            raise AssertionError("two processes write at a time")

        def while_writing() -> object:
            generations(is_refused, 2, exits=False)
            yield Document("streamed", "text")

        index.add(while_writing())
        assert index.get("streamed") is not None
        assert index.get("refused") is None


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=("torch", "onnx", "openvino", "index"))
    parser.add_argument("--reranker", required=True)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="an index is made there")
    given = parser.parse_args()
    torch.set_num_threads(2)
    os.environ["RERANK_SEARCH_THREADS"] = "2"
    ones = torch.ones(1_000, 1_000)
    (ones @ ones).add_(1)  # starts the threads of OpenMP
    for part in given.parts:
        if part == "index":
            search(given.reranker, given.encoder, given.folder)
        else:
            rerank(part, given.reranker)


if __name__ == "__main__":
    main()
