from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.models.threads import available_cores
from rerank_search.settings import Settings

PRINT = """
import torch
from rerank_search.models.threads import limit_threads
limit_threads()
print(torch.get_num_threads())
"""


def threads(**environment: str) -> int:
    """Of a process of its own: the number is one of the whole process."""
    inherited = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", PRINT],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_no_more_threads_than_cores_unless_they_are_asked_for():
    assert threads() <= available_cores()
    assert threads(RERANK_SEARCH_THREADS="3") == 3
    assert threads(OMP_NUM_THREADS="1") == 1


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
    with pytest.raises(InvalidInputError, match="RERANK_SEARCH_THREADS is '0'"):
        Settings()
