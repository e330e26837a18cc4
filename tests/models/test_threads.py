from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.models.threads import available_cores
from rerank_search.settings import Settings

PROGRAM = """
import os, threading
import torch
from rerank_search.models.threads import limit_threads, one_thread
limit_threads()
number = torch.get_num_threads()
print(number)
alone = one_thread()
torch.manual_seed(5)
matrix, batch = torch.rand(700, 700), torch.rand(64, 90, 90)

def tasks():
    return len(os.listdir("/proc/self/task"))

def begun():
    before = tasks()
    (matrix @ matrix).sum(), (batch @ batch).sum(), torch.nn.functional.gelu(matrix)
    return tasks() - before

def compute():
    try:
        with alone():
            held = torch.get_num_threads(), begun()
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        print(*held, torch.get_num_threads(), begun() > 0)

if number > 1 and alone is not None and os.path.exists("/proc/self/task"):
    compute()
    worker = threading.Thread(target=compute)
    worker.start()
    worker.join()
"""
"""The number of threads; what the main thread, then a new one have while they compute alone."""


@cache
def said(**environment: str) -> list[str]:
    """What a new process says, because the number of threads is set for the whole process."""
    inherited = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.process
def test_no_more_threads_than_cores_unless_they_are_asked_for():
    assert int(said()[0]) <= available_cores()
    assert int(said(RERANK_SEARCH_THREADS="3")[0]) == 3
    assert int(said(OMP_NUM_THREADS="1")[0]) == 1


@pytest.mark.process
@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="torch has MKL on x86 alone, and threads are counted as Linux does",
)
@pytest.mark.parametrize("wanted", [{}, {"RERANK_SEARCH_THREADS": "3"}])
def test_one_thread_is_no_other_and_the_number_comes_back(wanted):
    number, *found = said(**wanted)
    if number == "1":
        pytest.skip("this machine has one core")
    assert found == [f"1 0 {number} True"] * 2


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("", None)],
)
def test_a_container_has_the_cores_of_its_quota(tmp_path, quota, cores):
    path = tmp_path / "cpu.max"
    path.write_text(quota)
    everything = available_cores(tmp_path / "none")
    assert available_cores(path) == (cores or everything)
    assert everything >= 1


def test_no_threads_at_all_are_an_error(monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_THREADS", "0")
    with pytest.raises(InvalidInputError, match="RERANK_SEARCH_THREADS='0' is invalid"):
        Settings()
