"""The first load with backend="auto": it measures within a time limit, in one process at once."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from rerank_search.errors import StorageFullError
from rerank_search.models.backends.deadline import Deadline, OutOfTimeError
from rerank_search.models.backends.installed import Loaded, install
from rerank_search.models.backends.measuring import TRIES, measured
from rerank_search.models.backends.options import BackendOption
from rerank_search.models.bert_folder import read_classifier
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.loaded_network import loaded_network
from tests import warm

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))), reason="needs the extra onnx"
)

OPTIONS = [BackendOption("torch", "float32"), BackendOption("onnx", "float32")]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def loaded(tiny_reranker: Path) -> Loaded:
    plain = read_classifier(str(tiny_reranker), "cpu", "float32")
    assert plain is not None
    return loaded_network(plain.network, plain.tokenizer, str(tiny_reranker))


def kept(cache: Path) -> dict[str, float]:
    [path] = (cache / "backends").glob("*.json")
    found: dict[str, float] = json.loads(path.read_text())
    return found


def names(found: list[BackendOption]) -> list[str]:
    return [each.backend for each in found]


def test_what_does_not_fit_is_tried_by_a_few_later_loads_and_then_only_when_asked(
    loaded: Loaded, cache: Path
) -> None:
    for tries in (*range(1, TRIES + 1), TRIES):  # the last load does not try again
        found = measured(loaded, OPTIONS, cache, 0)
        assert names(found) == ["torch", "onnx"]
        assert [each.pairs_per_second for each in found] == [None, None]
        assert kept(cache) == {"torch float32": -tries, "onnx float32": -tries}
    found = measured(loaded, OPTIONS, cache, math.inf)
    assert all(each.pairs_per_second for each in found)
    assert all(speed > 0 for speed in kept(cache).values())


def test_a_given_up_trial_that_fits_later_is_measured(loaded: Loaded, cache: Path) -> None:
    measured(loaded, OPTIONS, cache, 0)
    assert all(each.pairs_per_second for each in measured(loaded, OPTIONS, cache, 600))


def test_an_export_that_would_not_fit_is_not_begun(loaded: Loaded, cache: Path) -> None:
    soon = time.monotonic() + 1_000
    with pytest.raises(OutOfTimeError):
        install(loaded, "onnx", "float32", cache, Deadline(soon, export=2_000))
    assert not list(cache.rglob("*.onnx"))
    install(loaded, "onnx", "float32", cache, Deadline(soon, export=1))
    assert list(cache.rglob("*.onnx"))


def lock_of_measuring(loaded: Loaded, cache: Path) -> Path:
    measured(loaded, OPTIONS, cache, 0)
    [path] = (cache / "backends").glob("*.json")
    path.unlink()
    return path.with_name(f"{path.name}.lock")


def test_a_process_that_measures_for_too_long_is_not_waited_for(
    loaded: Loaded, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FileLock(lock_of_measuring(loaded, cache)), caplog.at_level(logging.INFO):
        found = measured(loaded, OPTIONS, cache, 0.6)
    assert names(found) == ["torch", "onnx"]
    assert "waiting for another process that is measuring this model" in caplog.text
    assert not list((cache / "backends").glob("*.json"))


HOLD = """
import sys
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_a_process_that_was_killed_holds_nobody_up(loaded: Loaded, cache: Path) -> None:
    lock = lock_of_measuring(loaded, cache)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    assert all(each.pairs_per_second for each in measured(loaded, OPTIONS, cache, 600))


LOAD = """
import logging, sys
logging.basicConfig(level=logging.INFO)
from rerank_search import CrossEncoderReranker
reranker = CrossEncoderReranker(sys.argv[1], device="cpu", backend=sys.argv[2], dtype="float32")
print(reranker.score([("a red bird", "the sea")]))
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("backend", "once"),
    [("auto", "measuring which backend computes this model"), ("onnx", "exporting the model to")],
)
def test_of_processes_that_start_together_one_does_the_work(
    backend: str, once: str, tiny_reranker: Path, cache: Path, tmp_path: Path
) -> None:
    started = [
        warm.start(LOAD, str(tiny_reranker), backend, output=tmp_path / f"output-{i}")
        for i in range(3)
    ]
    assert [each.wait(500) for each in started] == [0] * 3, [each.said() for each in started]
    assert sum(each.said().count(once) for each in started) == 1


def test_what_cannot_be_kept_is_measured_once_in_a_process(
    tiny_reranker: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.mkdir()
    (cache / "backends").write_text("in the way")
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            CrossEncoderReranker(tiny_reranker, backend="auto", dtype="float32", device="cpu")
    assert caplog.text.count("measuring which backend computes this model") == 1
    assert "the next process measures again" in caplog.text


def test_a_full_disk_is_found_before_the_work_of_an_export(
    loaded: Loaded, small_disk: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(StorageFullError, match="no space is left"):
        install(loaded, "onnx", "float32", small_disk(64))
    assert "exporting" not in caplog.text
