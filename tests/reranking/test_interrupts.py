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
reranker = CrossEncoder("rerank-search-tiny", backend=sys.argv[1], dtype="float32", device="cpu")
pairs = [(f"join {i}", "join a path " * (20 + i % 100)) for i in range(100_000)]
reranker.score(pairs[:2])  # from now on its threads compute

def interrupt():
    spent = time.process_time()
    while time.process_time() < spent + 0.3:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
reranker.score(pairs)
"""
"""A script with minutes of work, interrupted after a third of a second."""


@pytest.mark.process
@pytest.mark.parametrize(
    ("backend", "package"), [("torch", "torch"), ("openvino", "openvino"), ("onnx", "onnxruntime")]
)
def test_an_interrupted_call_computes_no_other_batch(backend, package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    arguments = [sys.executable, "-W", "ignore", "-c", SCORE_MUCH, backend]
    # Far less than all pairs take: if it ends in time, it was interrupted.
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=90)
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr.strip().endswith("KeyboardInterrupt")
