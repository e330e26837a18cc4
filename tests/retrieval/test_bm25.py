import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_search.errors import (
    IndexCorruptedError,
    IndexLockedError,
    IndexReadOnlyError,
    InvalidInputError,
)
from rerank_search.retrieval.base import Passage
from rerank_search.retrieval.bm25 import Bm25Index
from rerank_search.retrieval.memory import MemoryRetriever
from rerank_search.retrieval.postings import Postings

WORDS = ["red", "green", "blue", "fish", "bird", "tree", "river", "stone", "bridge", "tower"]
texts_of_words = st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), max_size=25)
queries_of_words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)


def passages(texts: Sequence[str], first: int = 1) -> list[Passage]:
    return [Passage(id, text) for id, text in enumerate(texts, start=first)]


def found(index: Bm25Index, query: str, k: int = 10, allowed: object = None) -> list[int]:
    ids = None if allowed is None else np.array(sorted(allowed), dtype=np.int64)  # type: ignore[call-overload]
    [scores] = index.search([query], k, allowed=ids)
    return scores.ids.tolist()


@pytest.fixture
def index(tmp_path: Path) -> Bm25Index:
    index = Bm25Index(tmp_path / "bm25")
    index.update(3, passages(["red fish", "blue fish", "a green tree"]), [])
    return index


def test_finds_passages_by_their_words(index: Bm25Index) -> None:
    assert sorted(found(index, "fishes")) == [1, 2]
    assert index.count == 3
    assert index.seq == 3


def test_many_queries_at_once(index: Bm25Index) -> None:
    answers = index.search(["red", "nothing", "trees"], 5)
    assert [scores.ids.tolist() for scores in answers] == [[1], [], [3]]


@pytest.mark.parametrize("query", ["", "   ", '"(:*)"', "\x00", "--"])
def test_a_query_without_words_finds_nothing(index: Bm25Index, query: str) -> None:
    assert found(index, query) == []


@pytest.mark.parametrize("query", ['"red', "red)", "text:red", "red AND NOT", "+red -red", "red*"])
def test_query_syntax_is_plain_words(index: Bm25Index, query: str) -> None:
    assert 1 in found(index, query)


def test_k_above_the_corpus_returns_all_matches(index: Bm25Index) -> None:
    assert sorted(found(index, "fish", k=10**9)) == [1, 2]


def test_k_below_one_is_an_error(index: Bm25Index) -> None:
    with pytest.raises(InvalidInputError, match="k=0 must be at least 1"):
        index.search(["fish"], 0)


def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    assert found(Bm25Index(tmp_path), "fish") == []


def test_a_repeated_query_word_counts_twice(index: Bm25Index) -> None:
    [once], [twice] = (index.search([query], 1)[0].scores for query in ("tree", "tree tree"))
    assert twice == pytest.approx(2 * once)


def test_scores_are_those_of_rank_bm25_for_short_texts(tmp_path: Path) -> None:
    texts = ["red fish", "blue fish swims", "a green tree", "fish fish fish", "stone"]
    index = Bm25Index(tmp_path)
    index.update(1, passages(texts), [])
    [scores] = index.search(["fish tree"], 10)
    [hits] = MemoryRetriever(texts).retrieve(["fish tree"], 10)
    expected = {int(hit.id) + 1: hit.score for hit in hits}
    assert dict(zip(scores.ids.tolist(), scores.scores.tolist(), strict=True)) == pytest.approx(
        expected, rel=1e-5
    )


def test_top_ten_is_close_to_rank_bm25_for_long_texts(tmp_path: Path) -> None:
    # tantivy keeps lengths in one byte: exact up to 40 words, about 10 % off above.
    chosen = random.Random(5)
    vocabulary = [f"w{i}" for i in range(300)]
    texts = [" ".join(chosen.choices(vocabulary, k=chosen.randint(20, 400))) for _ in range(400)]
    index = Bm25Index(tmp_path, analyzer="plain")
    index.update(1, passages(texts), [])
    memory = MemoryRetriever(texts, analyzer="plain")
    overlaps = []
    for _ in range(20):
        query = " ".join(chosen.choices(vocabulary, k=4))
        [hits] = memory.retrieve([query], 10)
        overlaps.append(len({int(hit.id) + 1 for hit in hits} & set(found(index, query)[:10])))
    assert sum(overlaps) / 20 > 8.5


@settings(max_examples=20, deadline=None)
@given(texts_of_words, queries_of_words, st.integers(1, 30), st.sets(st.integers(1, 25)))
def test_filtered_search_is_the_unfiltered_one_without_the_others(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    query: str,
    k: int,
    allowed: set[int],
) -> None:
    index = Bm25Index(tmp_path_factory.mktemp("bm25"))
    index.update(1, passages(texts), [])
    [all_scores] = index.search([query], 1000)
    [scores] = index.search([query], k, allowed=np.array(sorted(allowed), np.int64))
    pairs = zip(all_scores.ids.tolist(), all_scores.scores.tolist(), strict=True)
    expected = [(id, score) for id, score in pairs if id in allowed]
    last = expected[:k][-1][1] if expected else 0.0
    assert sorted(scores.ids.tolist()) == sorted(id for id, score in expected if score >= last)


def test_filtering_is_exact_where_few_of_many_matches_are_allowed(tmp_path: Path) -> None:
    index = Bm25Index(tmp_path)
    texts = ["fish " * (1 + i % 7) + "tree " * (i % 5) for i in range(3000)]
    index.update(1, passages(texts), [])
    everything = found(index, "fish", k=3000)
    for allowed in ({*range(1, 3000, 2)}, {*range(1, 3000, 100)}, {*range(2900, 3001)}, {17}):
        exact = [id for id in everything if id in allowed]
        assert set(exact[:5]) <= set(found(index, "fish", 5, allowed))
        assert set(found(index, "fish", 5, allowed)) <= allowed


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(texts_of_words, queries_of_words, st.integers(1, 5), st.randoms(use_true_random=False))
def test_what_is_found_does_not_depend_on_the_order_of_insertion(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    query: str,
    k: int,
    chance: random.Random,
) -> None:
    results = []
    for shuffled in (False, True):
        some = passages(texts)
        if shuffled:
            chance.shuffle(some)
        index = Bm25Index(tmp_path_factory.mktemp("bm25"))
        half = len(some) // 2
        index.update(1, some[:half], [])
        index.update(2, some[half:], [])
        results.append(set(found(index, query, k)))
    assert results[0] == results[1]


def test_ties_at_the_cut_off_are_complete(tmp_path: Path) -> None:
    index = Bm25Index(tmp_path)
    index.update(1, passages(["red fish"] * 40 + ["fish fish"]), [])
    assert len(found(index, "fish", 1)) == 1
    assert len(found(index, "fish", 2)) == 41


def test_removed_passages_are_not_found(index: Bm25Index) -> None:
    index.update(4, [], [1])
    assert found(index, "fish") == [2]
    assert index.count == 2


def test_applying_the_same_changes_again_changes_nothing(index: Bm25Index) -> None:
    for _ in range(2):
        index.update(4, passages(["red fish", "blue fish", "new bird"], first=1), [2])
    assert index.count == 2
    assert found(index, "fish bird") == [3, 1]


def test_reopening_finds_the_same(index: Bm25Index, tmp_path: Path) -> None:
    reopened = Bm25Index(tmp_path / "bm25")
    assert reopened.seq == 3
    assert sorted(found(reopened, "fish")) == [1, 2]


def test_a_reader_sees_what_was_published_after_refresh(index: Bm25Index, tmp_path: Path) -> None:
    reader = Bm25Index(tmp_path / "bm25", read_only=True)
    assert reader.refresh() is False
    index.update(4, [Passage(9, "golden fish")], [])
    assert 9 not in found(reader, "fish")
    assert reader.refresh() is True
    assert 9 in found(reader, "fish")
    assert reader.seq == 4


def test_a_reader_cannot_update(index: Bm25Index, tmp_path: Path) -> None:
    with pytest.raises(IndexReadOnlyError, match="without read_only"):
        Bm25Index(tmp_path / "bm25", read_only=True).update(4, [], [1])


def test_a_failed_update_leaves_the_index_as_it_was(index: Bm25Index) -> None:
    def broken() -> object:
        yield Passage(9, "golden fish")
        raise KeyError("a broken source of passages")

    with pytest.raises(KeyError):
        index.update(4, broken(), [])  # type: ignore[arg-type]
    assert index.seq == 3
    assert sorted(found(index, "fish")) == [1, 2]
    index.update(4, [Passage(9, "golden fish")], [])
    assert sorted(found(index, "fish")) == [1, 2, 9]


@pytest.mark.parametrize("before", ["this version", "an earlier version"])
def test_passages_of_a_commit_whose_state_a_crash_took_are_not_there_twice(
    index: Bm25Index, tmp_path: Path, before: str
) -> None:
    state = tmp_path / "bm25" / "state.json"
    content = json.loads(state.read_bytes())
    if before == "an earlier version":
        content = {key: content[key] for key in content if key not in ("highest_id", "commit")}
    more = passages(["golden fish", "fish"], 10)
    index.update(5, more, [1])
    index.close()
    state.write_text(json.dumps(content))
    opened = Bm25Index(tmp_path / "bm25")
    assert opened.seq == 3
    opened.update(5, more, [1])
    opened.update(6, passages(["a fish again"], 20), [])
    assert sorted(found(opened, "fish")) == [2, 10, 11, 20]
    assert opened.problems(np.array([2, 3, 10, 11, 20])) == []


def test_passages_are_not_there_twice_after_ctrl_c_between_commit_and_state(
    index: Bm25Index, interrupted_at: Callable[[object], AbstractContextManager[None]]
) -> None:
    more = passages(["golden fish", "fish"], 10)
    with interrupted_at(Postings.reload), pytest.raises(KeyboardInterrupt):
        index.update(5, more, [1])
    assert index.seq == 3
    index.update(5, more, [1])
    assert sorted(found(index, "fish")) == [2, 10, 11]
    assert index.problems(np.array([2, 3, 10, 11])) == []


def test_problems_names_missing_and_left_over_passages(index: Bm25Index) -> None:
    assert index.problems(np.array([1, 2, 3])) == []
    lacking, extra = index.problems(np.array([1, 2, 7]))
    assert "lacks 1" in lacking
    assert "id 7" in lacking
    assert "still has 1" in extra


HOLD_THE_WRITER = """
import sys
from pathlib import Path
from rerank_search.retrieval.bm25 import Bm25Index
from rerank_search.retrieval.base import Passage
def slow():
    yield Passage(50, "golden fish")
    print("writing", flush=True)
    sys.stdin.read()  # until it is killed
Bm25Index(Path(sys.argv[1])).update(4, slow(), [])
"""


def test_a_killed_writer_leaves_the_index_whole_and_unlocked(
    index: Bm25Index, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", HOLD_THE_WRITER, str(tmp_path / "bm25")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(IndexLockedError, match="another process"):
            index.update(4, [], [1])
        writer.send_signal(signal.SIGKILL)
    index.update(4, [], [1])
    assert found(index, "fish") == [2]


@pytest.mark.parametrize("name", ["meta.json", "state.json", "*.term", "*.idx", "*.fast"])
def test_a_truncated_file_is_an_error_that_names_the_mend(
    index: Bm25Index, tmp_path: Path, name: str
) -> None:
    index.close()
    [*_, damaged] = (tmp_path / "bm25").glob(name)
    os.truncate(damaged, damaged.stat().st_size // 2)
    with pytest.raises(IndexCorruptedError, match="index rebuild"):
        Bm25Index(tmp_path / "bm25")


def test_a_missing_state_is_an_error_for_a_reader(tmp_path: Path) -> None:
    with pytest.raises(IndexCorruptedError, match=r"state\.json"):
        Bm25Index(tmp_path, read_only=True)


def test_unknown_analyzer_leaves_no_index_behind(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="latin"):
        Bm25Index(tmp_path, analyzer="latin")
    assert not (tmp_path / "state.json").exists()


SEARCH_WITHOUT_RIGHTS = """
import os, sys
from pathlib import Path
from rerank_search.retrieval.bm25 import Bm25Index
import tantivy
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
index = Bm25Index(Path(sys.argv[1]), read_only=True)
print(sorted(index.search(["fish"], 5)[0].ids.tolist()), index.refresh())
index.close()
"""


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_directory_that_cannot_be_written_is_searchable(index: Bm25Index, tmp_path: Path) -> None:
    # pytest's own temporary directories can only be entered by their owner.
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        directory = Path(parent) / "bm25"
        shutil.copytree(tmp_path / "bm25", directory)
        for file in directory.iterdir():
            file.chmod(0o444)
        directory.chmod(0o555)
        run = subprocess.run(
            [sys.executable, "-c", SEARCH_WITHOUT_RIGHTS, str(directory)],
            capture_output=True,
            text=True,
            check=False,
        )
        directory.chmod(0o755)
    assert run.stdout.strip() == "[1, 2] False", run.stderr


@pytest.mark.skipif(os.name == "nt", reason="permissions of Unix")
def test_who_may_read_the_directory_may_read_its_files(tmp_path: Path) -> None:
    directory = tmp_path / "bm25"
    directory.mkdir(mode=0o700)
    for mode in (0o755, 0o750, 0o700):
        directory.chmod(mode)
        index = Bm25Index(directory)
        index.update(index.seq + 1, passages(["red fish"], index.seq + 1), [])
        for name in ("meta.json", ".managed.json"):
            assert (directory / name).stat().st_mode & 0o777 == mode & 0o666
