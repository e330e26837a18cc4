from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rerank_search.lock import Holder, ProcessLock


def test_a_lock_says_who_holds_it_as_long_as_it_is_held(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path / "lock")
    assert lock.acquire(0)
    holder = ProcessLock(tmp_path / "lock").holder()
    assert holder is not None
    assert holder.pid == os.getpid()
    assert abs((datetime.now(UTC) - holder.since).total_seconds()) < 60
    assert "this process itself" in str(holder)
    assert not ProcessLock(tmp_path / "lock").acquire(0)
    lock.release()
    assert ProcessLock(tmp_path / "lock").holder() is None
    assert ProcessLock(tmp_path / "lock").acquire(0)


def test_a_lock_is_free_after_ctrl_c_while_it_was_taken(
    tmp_path: Path, interrupted_at: Callable[[object], AbstractContextManager[None]]
) -> None:
    lock = ProcessLock(tmp_path / "lock")
    with interrupted_at(Holder.__init__), pytest.raises(KeyboardInterrupt):
        lock.acquire(0)
    assert ProcessLock(tmp_path / "lock").acquire(0)


def test_a_record_whose_process_has_ended_names_nobody(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    lock = ProcessLock(tmp_path / "lock")
    assert lock.acquire(0)
    path = tmp_path / "lock.holder"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"pid": ended.pid}))
    assert lock.holder() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1, "since": 3}'])
def test_a_damaged_record_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock.holder").write_text(content)
    assert ProcessLock(tmp_path / "lock").holder() is None


def test_a_record_that_cannot_be_written_does_not_stop_the_work(tmp_path: Path) -> None:
    (tmp_path / "lock.holder").mkdir()
    lock = ProcessLock(tmp_path / "lock")
    assert lock.acquire(0)
    assert lock.holder() is None
    lock.release()


def test_the_command_is_told_without_the_values_of_its_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/tool", "index", "add", "--key", "secret"])
    lock = ProcessLock(tmp_path / "lock")
    assert lock.acquire(0)
    holder = lock.holder()
    assert holder is not None
    assert holder.command == "tool index add"
    lock.release()


def test_one_that_waits_has_its_turn_before_one_that_comes_again(tmp_path: Path) -> None:
    done = threading.Event()

    def again_and_again() -> None:
        lock = ProcessLock(tmp_path / "lock")
        while not done.is_set():
            assert lock.acquire(60)
            done.wait(0.01)
            lock.release()

    greedy = threading.Thread(target=again_and_again)
    greedy.start()
    patient = ProcessLock(tmp_path / "lock")
    try:
        for _ in range(5):
            assert patient.acquire(30)
            patient.release()
    finally:
        done.set()
        greedy.join()
