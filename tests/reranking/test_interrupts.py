"""Ctrl-C while a reranker computes."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys

import pytest

SCORE_MUCH = """
import os, signal, sys, threading, time
from rerank_search import CrossEncoder

signal.signal(signal.SIGINT, signal.default_int_handler)
pairs = [(f"join {i}", "join a path " * (20 + i % 100)) for i in range(100_000)]

def interrupt(ended):
    spent = time.process_time()
    while time.process_time() < spent + 0.3:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    while not ended.wait(5):  # Python drops an interrupt that comes while it frees an object
        os.kill(os.getpid(), signal.SIGINT)

for backend in sys.argv[1:]:
    options = {"backend": backend, "dtype": "float32", "device": "cpu"}
    reranker = CrossEncoder("rerank-search-tiny", **options)
    reranker.score(pairs[:2])  # from now on its threads compute
    ended = threading.Event()
    threading.Thread(target=interrupt, args=[ended], daemon=True).start()
    try:
        reranker.score(pairs)
    except KeyboardInterrupt:
        ended.set()
        print(backend)
raise KeyboardInterrupt
"""
"""A script with minutes of work for each backend, interrupted after a third of a second."""


@pytest.fixture(scope="module")
def interrupted() -> set[str]:
    """The backends whose call ended with the interrupt, in one process."""
    packages = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}
    backends = [name for name, package in packages.items() if importlib.util.find_spec(package)]
    arguments = [sys.executable, "-W", "ignore", "-c", SCORE_MUCH, *backends]
    # Far less than all pairs take: if it ends in time, each call was interrupted.
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr.strip().endswith("KeyboardInterrupt")
    return {*ended.stdout.split()}


@pytest.mark.process
@pytest.mark.parametrize(
    ("backend", "package"), [("torch", "torch"), ("openvino", "openvino"), ("onnx", "onnxruntime")]
)
def test_an_interrupted_call_computes_no_other_batch(backend, package, interrupted):
    pytest.importorskip(package)
    assert backend in interrupted
