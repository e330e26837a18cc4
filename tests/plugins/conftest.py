"""An index without vectors, and tiny rerankers with and without a calibration."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from rerank_search import CrossEncoderReranker, Document, Index, RemoteSearcher, Searcher
from rerank_search.serving.keys import KeyFile, add_key
from tests.client.conftest import Served, served

WORDS = ["join", "split", "read", "write", "bread", "boat", "violin", "snow"]
DOCUMENTS = [
    Document(
        f"{word}-{number}",
        f"{word} the path {number} of a file",
        "The title" if number == 0 else "",
        {"word": word, "number": number, "of": {"tags": ["x", "ü"], "by": None}},
    )
    for word in WORDS
    for number in range(4)
]
QUERIES = [f"{word} the file {number}" for word in WORDS for number in range(4)]
QUERY = "how to join the path of a file"


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an index of DOCUMENTS; tests only read it."""
    folder = tmp_path_factory.mktemp("plugins") / "home" / "notes"
    with Index.create(folder, encoder=None) as index:
        index.add(DOCUMENTS)
    return folder


@pytest.fixture(scope="session")
def reranker(tiny_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_reranker, device="cpu")


@pytest.fixture(scope="session")
def calibrated(
    tiny_reranker: Path, make_calibration, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a reranker whose logit is calibrated."""
    folder = tmp_path_factory.mktemp("calibrated") / "model"
    shutil.copytree(tiny_reranker, folder)
    make_calibration().save(folder)
    return folder


@pytest.fixture(scope="session")
def searcher(notes: Path, reranker: CrossEncoderReranker) -> Iterator[Searcher]:
    with Index.open(notes, read_only=True) as index:
        yield Searcher(index, reranker)


@pytest.fixture(scope="session")
def server(notes: Path, reranker: CrossEncoderReranker) -> Iterator[Served]:
    with served(notes.parent, [reranker]) as running:
        yield running


@pytest.fixture(scope="session")
def guarded(notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL of the index on a server without rerankers, and the key that the server asks for."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    secret = add_key(file, "reader", "read")
    with served(notes.parent, [], keys=KeyFile(file)) as running:
        yield f"{running.url}/v1/indexes/notes", secret


@pytest.fixture
def silent() -> Iterator[RemoteSearcher]:
    """A searcher of a server that takes requests and does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with RemoteSearcher(url, "x", timeout=0.05, retries=0) as searcher:
            yield searcher


@pytest.fixture
def searched_while_written(tmp_path: Path) -> Callable[[Callable[[Path], Callable[[], Any]]], Any]:
    """What a search finds while the first two documents of an index are being written, and then.

    It is given a function that makes the search, from the folder of the index.
    """

    def run(make: Callable[[Path], Callable[[], Any]]) -> tuple[Any, Any]:
        Index.create(tmp_path / "growing", encoder=None).close()
        search = make(tmp_path / "growing")
        meanwhile: list[Any] = []

        def documents() -> Iterator[Document]:
            yield Document("a", "join the paths")
            meanwhile.append(search())
            yield Document("b", "join the paths")

        with Index.open(tmp_path / "growing") as index:
            index.add(documents(), batch_size=1)
        return meanwhile[0], search()

    return run


@pytest.fixture(scope="session")
def two_labels(tiny_reranker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier with two labels."""
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path_factory.mktemp("classifier") / "model"
    shutil.copytree(tiny_reranker, folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_reranker, num_labels=2, ignore_mismatched_sizes=True
    )
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def in_threads(
    when_called: Callable[..., AbstractContextManager[None]],
) -> Callable[[Callable[[], Any]], tuple[list[Any], int]]:
    """Calls a function in 32 threads at once; the results, and how many rerankers were made."""

    def run(call: Callable[[], Any]) -> tuple[list[Any], int]:
        together = threading.Barrier(32)
        made: list[object] = []

        def wait_and_call() -> Any:
            together.wait()
            return call()

        with (
            when_called(CrossEncoderReranker.__init__, made.append),
            ThreadPoolExecutor(32) as pool,
        ):
            results = [each.result() for each in [pool.submit(wait_and_call) for _ in range(32)]]
        return results, len(made)

    return run


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[Index]:
    """An index in which two documents have the same text."""
    with Index.create(tmp_path / "twins", encoder=None) as index:
        index.add([Document(id, "join the paths") for id in ("a", "b")])
        yield index


@pytest.fixture
def counted() -> Callable[[Sequence[Awaitable[Any]]], tuple[list[Any], int]]:
    """Runs calls in one loop; the results, and the number of times another task had its turn.

    A call that blocked the loop would let it go on only between two calls.
    """

    async def run(calls: Sequence[Awaitable[Any]]) -> tuple[list[Any], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        found = await asyncio.gather(*calls)
        ticking.cancel()
        return found, ticks

    return lambda calls: asyncio.run(run(calls))
