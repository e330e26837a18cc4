from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from rerank_search.errors import RerankError
from rerank_search.judged.score_cache import PAIRS_AT_ONCE, ScoreCache
from rerank_search.reranking.cross_encoder import CrossEncoderReranker

PAIRS = [
    ("how to join", "join the paths"),
    ("how to join", "a boat on the river"),
    ("how to join", "join the paths"),
    ("how", "to join a boat on the river"),
]


class Counting:
    """A reranker that counts its pairs, and may have a fingerprint."""

    name = "counting"

    def __init__(self, fingerprint: str | None) -> None:
        self.asked: list[tuple[str, str]] = []
        if fingerprint is not None:
            self.fingerprint = fingerprint

    def score(self, pairs):
        self.asked += pairs
        return np.array([len(query) * 100 + len(text) for query, text in pairs], np.float32)


def test_scores_are_those_of_the_reranker_to_the_last_bit(tmp_path, tiny_reranker):
    reranker = CrossEncoderReranker(tiny_reranker, device="cpu")
    expected = reranker.score_with_report([(q, t * 40) for q, t in PAIRS])

    for _ in range(2):
        found = ScoreCache(tmp_path, reranker).scored([(q, t * 40) for q, t in PAIRS])
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)
        np.testing.assert_array_equal(found.truncated, expected.truncated)
        assert expected.truncated.any()


def test_a_pair_is_scored_once_by_a_model_in_whatever_run(tmp_path):
    first, second = Counting("a"), Counting("a")
    ScoreCache(tmp_path, first).scored(PAIRS)
    cache = ScoreCache(tmp_path, second)
    values = cache.scored([*PAIRS, ("new", "pair")]).values

    assert len(first.asked) == 3
    assert second.asked == [("new", "pair")]
    assert values.tolist() == [1114, 1119, 1114, 327, 304]
    assert (cache.asked, cache.computed) == (5, 1)


def test_scores_of_another_model_are_not_taken(tmp_path):
    ScoreCache(tmp_path, Counting("a")).scored(PAIRS)
    other = Counting("b")
    ScoreCache(tmp_path, other).scored(PAIRS)
    assert len(other.asked) == 3


def test_query_and_text_are_told_apart(tmp_path):
    cache = ScoreCache(tmp_path, Counting("a"))
    values = cache.scored([("ab", "c"), ("a", "bc")]).values
    assert values.tolist() == [201, 102]


def test_a_reranker_without_a_fingerprint_is_asked_each_time(tmp_path):
    reranker = Counting(None)
    cache = ScoreCache(tmp_path, reranker)
    cache.scored(PAIRS)
    cache.scored(PAIRS)
    cache.close()
    assert len(reranker.asked) == 6
    assert list(tmp_path.iterdir()) == []


TWO_CHUNKS = [("how to join", f"the path {i}") for i in range(PAIRS_AT_ONCE + 100)]


def test_progress_adds_up_to_all_pairs(tmp_path):
    cache = ScoreCache(tmp_path, Counting("a"))
    ticks: list[int] = []
    cache.scored([*TWO_CHUNKS, TWO_CHUNKS[0]], ticks.append)
    assert ticks == [1, PAIRS_AT_ONCE, 100]  # a repeated pair is through at once


def test_what_was_scored_before_a_failure_is_kept(tmp_path):
    class Dying(Counting):
        def score(self, pairs):
            if self.asked:
                raise MemoryError
            return super().score(pairs)

    with pytest.raises(RerankError, match="counting"):
        ScoreCache(tmp_path, Dying("a")).scored(TWO_CHUNKS)
    rest = Counting("a")
    ScoreCache(tmp_path, rest).scored(TWO_CHUNKS)
    assert len(rest.asked) == 100


def test_two_processes_may_fill_one_cache(tmp_path: Path):
    one, other = ScoreCache(tmp_path, Counting("a")), ScoreCache(tmp_path, Counting("a"))
    one.scored(PAIRS[:2])
    other.scored(PAIRS)
    one.scored(PAIRS)
    assert (one.computed, other.computed) == (2, 1)
    one.close()
    other.close()
    [path] = tmp_path.glob("*.sqlite")
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM scores").fetchone() == (3,)


def kept(folder: Path) -> int:
    """The number of scores in the folder's file."""
    [path] = folder.glob("*.sqlite")
    with sqlite3.connect(path) as database:
        [count] = database.execute("SELECT count(*) FROM scores").fetchone()
    database.close()
    return int(count)


def filled(folder: Path, pairs=PAIRS) -> Path:
    """The file of a cache with scores of the pairs."""
    cache = ScoreCache(folder, Counting("a"))
    cache.scored(pairs)
    cache.close()
    return folder / "scores-a.sqlite"


MANY = [("query", f"text {number} " + "word " * 20) for number in range(2_000)]


@pytest.mark.parametrize("damage", ["no database", "bad page", "no table"])
def test_a_damaged_file_is_moved_aside_and_begun_anew(tmp_path, caplog, damage):
    path = filled(tmp_path, MANY)
    content = path.read_bytes()
    if damage == "no table":
        path.unlink()
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE scores (something TEXT)")
        database.close()
    else:
        at = 0 if damage == "no database" else 4096
        path.write_bytes(content[:at] + b"\xff" * (len(content) - at))

    reranker = Counting("a")
    cache = ScoreCache(tmp_path, reranker)
    for _ in range(2):
        values = cache.scored(MANY).values
        assert values.tolist() == [500 + len(text) for _, text in MANY]
    cache.close()
    assert len(reranker.asked) == len(MANY)
    assert kept(tmp_path) == len(MANY)
    assert (tmp_path / "scores-a.sqlite.damaged").exists()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "scores-a.sqlite is damaged" in record.message


def test_what_has_taken_the_place_of_a_damaged_file_is_not_moved_aside(tmp_path, caplog):
    path = filled(tmp_path, MANY)
    one, other = ScoreCache(tmp_path, Counting("a")), ScoreCache(tmp_path, Counting("a"))
    for cache in (one, other):
        cache.scored([])  # opens the file
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    for cache in (one, other):
        cache.scored(MANY)
        cache.close()
    assert (one.computed, other.computed) == (len(MANY), 0)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("logit", [float("inf"), -1e300, "high"])
def test_a_stored_score_that_cannot_be_ranked_is_computed_again(tmp_path, logit):
    path = filled(tmp_path)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE scores SET logit = ?", (logit,))
    database.close()
    reranker = Counting("a")
    assert ScoreCache(tmp_path, reranker).scored(PAIRS).values.tolist() == [1114, 1119, 1114, 327]
    assert len(reranker.asked) == 3


CHILD = """
import sys
from pathlib import Path
import numpy as np
from rerank_search.errors import StorageFullError
from rerank_search.judged.score_cache import ScoreCache

class Length:
    name = fingerprint = "a"

    def score(self, pairs):
        return np.array([len(q) * 100 + len(t) for q, t in pairs], np.float32)

def cache():
    return ScoreCache(Path(sys.argv[1]), Length())
"""


def child(folder: Path, script: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that uses a cache in the folder."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + script, str(folder), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.process
@pytest.mark.parametrize("damaged", [False, True])
def test_processes_that_begin_one_cache_together_all_keep_their_scores(tmp_path, damaged):
    if damaged:
        (tmp_path / "scores-a.sqlite").write_bytes(b"damaged " * 100)
    script = (
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "for number in range(200):\n"
        "    cache().scored([(sys.argv[2], str(number))])\n"
    )
    children = [child(tmp_path, script, name) for name in ("one", "two", "three", "four")]
    for process in children:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in children:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    warnings = 0
    for process in children:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        warnings += len(errors.splitlines())
    assert kept(tmp_path) == 800
    assert warnings == damaged
    if damaged:
        aside = (tmp_path / "scores-a.sqlite.damaged").read_bytes()
        assert aside.startswith(b"damaged ")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
@pytest.mark.parametrize("content", ["scores", "damage", "nothing"])
def test_a_cache_that_may_not_be_written_is_read(content):
    script = (
        "import os\n"
        "if os.getuid() == 0:\n"
        "    os.setgid(65534); os.setuid(65534)\n"
        "cache = cache()\n"
        "for text in ('join the paths', 'new', 'new'):\n"
        "    print(cache.scored([('how to join', text)]).values[0], cache.computed)\n"
    )
    # pytest's folders are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if content != "nothing":
            path = filled(folder)
            if content == "damage":
                path.write_bytes(b"\xff" * 100)
            path.chmod(0o444)
        before = sorted(path.name for path in folder.iterdir())
        folder.chmod(0o555)
        process = child(folder, script)
        output, errors = process.communicate(timeout=300)
        folder.chmod(0o755)
        assert sorted(path.name for path in folder.iterdir()) == before
    if "Permission denied" in errors and "site-packages" in errors:
        pytest.skip("an unprivileged user cannot read this Python installation")
    assert process.returncode == 0, errors
    known = content == "scores"
    computed = [0, 1, 2] if known else [1, 2, 3]
    values = ["1114.0", "1103.0", "1103.0"]
    assert output.split() == [
        word for pair in zip(values, map(str, computed), strict=True) for word in pair
    ]
    assert "cannot be written, so new scores are not stored" in errors


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
def test_a_full_disk_is_said_to_be_full(tmp_path):
    script = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    cache().scored([('query', f'text {n}') for n in range(50_000)])\n"
        "except StorageFullError as error:\n"
        "    print(error)\n"
    )
    process = child(tmp_path, script)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "no space to write" in output
    assert "scores-a.sqlite" in output
