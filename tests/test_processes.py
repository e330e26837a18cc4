from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_search import CrossEncoderReranker
from rerank_search.processes import PerProcess, forks
from tests.first_calls import TIMEOUT, ends

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    # Python 3.12 warns of a fork beside running threads, which some tests need.
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]


InChild = Callable[[Callable[[], object]], bool]


def test_a_value_is_made_once_in_each_process(in_child: InChild):
    made: list[int] = []
    value = PerProcess(lambda: made.append(os.getpid()) or os.getpid())
    assert value.get() == value.get() == os.getpid()
    assert made == [os.getpid()]

    def child() -> bool:
        own = value.made() is None and value.get() == value.get() == os.getpid()
        return own and made[1:] == [os.getpid()] and in_child(lambda: value.get() == os.getpid())

    assert in_child(child)
    assert value.get() == os.getpid()


def test_forks_are_counted_from_the_first_process(in_child: InChild):
    before = forks()
    assert in_child(lambda: forks() == before + 1 and in_child(lambda: forks() == before + 2))
    assert forks() == before


@pytest.mark.process
def test_a_child_never_frees_what_its_parent_made(in_child: InChild):
    freed: list[int] = []

    class Connection:
        def __del__(self) -> None:
            freed.append(os.getpid())

    value = PerProcess(Connection)
    value.get()

    def child() -> bool:
        nonlocal value
        del value
        gc.collect()
        return not freed

    assert in_child(child)
    del value
    gc.collect()
    assert freed == [os.getpid()]


def test_a_value_that_a_thread_was_making_can_be_made_in_a_child(in_child: InChild):
    making, goes_on = threading.Event(), threading.Event()

    def slowly() -> int:
        making.set()
        goes_on.wait()
        return os.getpid()

    value = PerProcess(slowly)
    thread = threading.Thread(target=value.get)
    thread.start()
    making.wait()

    def child() -> bool:
        goes_on.set()
        return value.get() == os.getpid()

    assert in_child(child)
    goes_on.set()
    thread.join()
    assert value.get() == os.getpid()


NEEDS = {
    "torch": ("torch",),
    "index": ("torch",),
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
}
"""The parts of tests/forked.py, and the packages that each needs."""


@pytest.mark.process
def test_children_and_their_children_use_what_the_parent_made(
    tiny_reranker: Path, tiny_encoder: Path, tmp_path: Path
):
    usable = [part for part in NEEDS if all(map(importlib.util.find_spec, NEEDS[part]))]
    program = str(Path(__file__).with_name("forked.py"))
    command = [sys.executable, "-W", "ignore", program, *usable]
    paths = {"--reranker": tiny_reranker, "--encoder": tiny_encoder, "--folder": tmp_path}
    command += [word for name, path in paths.items() for word in (name, str(path))]
    environment = {**os.environ, "RERANK_SEARCH_CACHE": str(tmp_path / "cache")}
    run = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of exported models."""
    return tmp_path_factory.mktemp("exports")


@pytest.mark.process
@pytest.mark.parametrize("backend", ["openvino", "onnx"])
def test_the_first_call_of_a_process_does_not_hang(
    backend: str, exports: Path, monkeypatch: pytest.MonkeyPatch
):
    if not importlib.util.find_spec({"onnx": "onnxruntime"}.get(backend, backend)):
        pytest.skip(f"needs the extra {backend}")
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(exports))
    model = "rerank-search-tiny"
    CrossEncoderReranker(model, backend=backend, dtype="float32", device="cpu")  # exports it
    assert ends(model, backend, TIMEOUT)
