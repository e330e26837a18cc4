"""An index with an engine of another package, whose code fails."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank_search import (
    Document,
    Hit,
    Index,
    InvalidInputError,
    ModelNotFoundError,
    PluginError,
    Searcher,
)
from rerank_search.judged.candidates import CandidateSource
from rerank_search.judged.collection import JudgedCollection

# Finds passages that contain the query. Some words make it fail, as long as they are in `fails`.
FRAGILE = """
import numpy as np

from rerank_search import InvalidInputError
from rerank_search.retrieval.base import Engine, PassageScores
from rerank_search.retrieval.state import StateFile

fails = {"poison": ZeroDivisionError("no divisor"), "ctrl-c": KeyboardInterrupt(),
         "refused": InvalidInputError("too long")}
answers = {}  # what methods return instead, by their names
opened = []
closed = []


def check(text):
    for word, error in fails.items():
        if word in text:
            raise error


class Fragile(Engine):
    name = "fragile"
    seq = 0

    def __init__(self, source):
        check("open" if source.folder.exists() else "")
        opened.append(self)
        self.state = StateFile(source.folder)
        if not self.state.exists():
            source.folder.mkdir(parents=True, exist_ok=True)
            self.state.publish({"seq": 0, "texts": {}})
        self.load()

    def load(self):
        state = self.state.read()
        self.seq, self.texts = state["seq"], {int(id): t for id, t in state["texts"].items()}

    def update(self, seq, added, removed, *, progress=lambda number: None):
        for passage in added:
            self.texts[passage.id] = passage.text  # in place: half done if a later one fails
            check(passage.text)
        for id in removed:
            self.texts.pop(id, None)
        progress(answers.get("progress", 0))
        if "stuck" not in fails:
            self.seq = seq
        self.state.publish({"seq": int(self.seq), "texts": self.texts})

    def search(self, queries, k, *, allowed=None):
        if "search" in answers:
            return [PassageScores(*answers["search"])]
        check(" ".join(queries))
        if "nothing" in queries:
            return None
        return [self.found(query) for query in queries]

    def found(self, query):
        ids = [id for id, text in self.texts.items() if query in text]
        return PassageScores(np.array(ids, np.int64), np.ones(len(ids), np.float32))

    def scores(self, queries, passages):
        return answers.get("scores") or super().scores(queries, passages)

    def compact(self):
        check("compact" if "full" in fails else "")
        return True

    def refresh(self):
        check("refresh" if "stale" in fails else "")
        if self.state.changed():
            self.load()
            return True
        return False

    def problems(self, expected):
        check(" ".join(self.texts.values()))
        return answers.get("problems", [])

    def close(self):
        closed.append(self)
        check("close" if "leak" in fails else "")


class Numbered(Fragile):
    name = "numbered"

    @property
    def seq(self):
        return answers.get("seq", self._seq)

    @seq.setter
    def seq(self, seq):
        self._seq = np.int64(seq)


class Stateless(Engine):
    name = "stateless"
    seq = 0

    def __init__(self, source):
        pass


class Combined:
    name = "combined"

    def __init__(self, index):
        self.index = index

    def retrieve(self, queries, k, *, filter=None):
        if "retrieve" in answers:
            return answers["retrieve"]
        check(" ".join(queries))
        if "nothing" in queries:
            return None
        return self.index.retriever("bm25").retrieve(queries, k, filter=filter)
"""
ENTRIES = {
    "fragile": "Fragile",
    "numbered": "Numbered",
    "stateless": "Stateless",
    "combined": "Combined",
}


@pytest.fixture
def fails(install_package: Callable[..., Path]) -> dict[str, BaseException]:
    """The words at which the installed package fails, with the error of each."""
    named = {name: f"fragile:{made}" for name, made in ENTRIES.items()}
    install_package({"fragile.py": FRAGILE}, {"rerank_search.retrievers": named})
    fails: dict[str, BaseException] = importlib.import_module("fragile").fails
    return fails


@pytest.fixture
def answers(fails: dict[str, BaseException]) -> dict[str, Any]:
    """What methods of the installed package return instead, by their names."""
    answers: dict[str, Any] = importlib.import_module("fragile").answers
    return answers


@pytest.fixture
def path(fails: dict[str, BaseException], tmp_path: Path) -> Path:
    path = tmp_path / "notes"
    with Index.create(path, encoder=None, first_stages=["fragile"]) as index:
        index.add([Document("a", "a boat"), Document("b", "bread")])
    return path


def found(index: Index, query: str, stage: str = "bm25") -> list[str]:
    return [hit.id for hit in index.retriever(stage).retrieve([query], 5)[0]]


def test_an_error_in_update_names_the_package_and_its_cause(path: Path) -> None:
    with Index.open(path) as index, pytest.raises(PluginError) as caught:
        index.add([Document("c", "poison bread")])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    said = str(caught.value)
    for part in ("'fragile' of the package my-search", "update", "ZeroDivisionError: no divisor"):
        assert part in said
    assert "The documents are stored, and the other first stages have them" in said


def test_the_other_first_stages_have_the_documents_at_which_one_fails(path: Path) -> None:
    with Index.open(path) as index:
        with pytest.raises(PluginError):
            index.add([Document("c", "poison bread")])
        assert found(index, "bread") == ["b", "c"]
        with pytest.raises(PluginError, match="my-search"):
            found(index, "bread", "fragile")
    with Index.open(path) as index:
        assert (len(index), found(index, "bread")) == (3, ["b", "c"])
        with pytest.raises(PluginError, match="my-search"):
            found(index, "bread", "fragile")


def test_changes_are_still_made_and_the_package_is_tried_at_each(path: Path) -> None:
    with Index.open(path) as index:
        for text in ("poison bread", "more bread"):
            with pytest.raises(PluginError):
                index.add([Document(text, text)])
        assert found(index, "bread") == ["b", "more bread", "poison bread"]
        with pytest.raises(PluginError):
            index.compact()  # it would forget what the engine has not removed yet
        index.delete(["poison bread"])  # without it the package does not fail
        assert found(index, "bread", "fragile") == ["b", "more bread"]
        assert index.verify() == []


def test_an_index_catches_up_when_the_package_is_fixed(
    path: Path, fails: dict[str, BaseException]
) -> None:
    with Index.open(path) as index, pytest.raises(PluginError):
        index.add([Document("c", "poison bread")])
    del fails["poison"]
    with Index.open(path) as index:
        assert found(index, "bread", "fragile") == ["b", "c"]
        assert index.verify() == []


def test_verify_reports_the_first_stage_that_is_behind(path: Path) -> None:
    with Index.open(path) as index:
        with pytest.raises(PluginError):
            index.add([Document("c", "poison bread")])
        [problem] = index.verify()
        assert "ZeroDivisionError: no divisor" in problem
    with Index.open(path, read_only=True) as reader:
        [problem] = reader.verify()
        assert problem.startswith("the first stage fragile is at change 2, but bm25 is at 3")
    with Index.open(path, for_repair=True) as index:
        with pytest.raises(PluginError, match="ZeroDivisionError"):
            index.rebuild()
        assert found(index, "bread") == ["b", "c"]
    assert not (path / "fragile.new").exists()


def test_a_rebuild_in_which_a_package_fails_builds_the_other_first_stages(
    path: Path, fails: dict[str, BaseException]
) -> None:
    (path / "bm25" / "state.json").write_text("{}")
    fails["boat"] = ValueError("no boats")
    with Index.open(path, for_repair=True) as index:
        with pytest.raises(PluginError, match="no boats"):
            index.rebuild()
        assert found(index, "boat") == ["a"]
        assert found(index, "bread", "fragile") == ["b"]  # the old one is still whole
    with Index.open(path) as index:
        assert found(index, "boat") == ["a"]


def test_an_engine_that_applies_nothing_is_an_error_and_no_endless_loop(
    path: Path, fails: dict[str, BaseException]
) -> None:
    fails["stuck"] = ValueError()
    with Index.open(path) as index, pytest.raises(PluginError, match=r"seq=2 after update\(3"):
        index.add([Document("c", "wine")])


@pytest.mark.parametrize("stage", ["fragile", "combined"])
def test_an_error_in_a_search_names_the_package(path: Path, stage: str) -> None:
    with Index.open(path) as index:
        with pytest.raises(PluginError, match=r"my-search.*ZeroDivisionError") as caught:
            found(index, "poison", stage)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        with pytest.raises(
            PluginError, match=r"my-search.* None, which must be a list of length 1"
        ):
            found(index, "nothing", stage)
        assert found(index, "bread", stage) == ["b"]


@pytest.mark.parametrize("stage", ["fragile", "combined"])
def test_ctrl_c_and_errors_of_this_library_pass_through(path: Path, stage: str) -> None:
    with Index.open(path) as index:
        with pytest.raises(KeyboardInterrupt):
            found(index, "ctrl-c", stage)
        with pytest.raises(InvalidInputError, match=r"^too long$"):
            found(index, "refused", stage)
    with Index.open(path) as index, pytest.raises(KeyboardInterrupt):
        index.add([Document("c", "ctrl-c")])


def test_an_error_of_this_library_in_an_update_is_not_the_callers_fault(path: Path) -> None:
    with Index.open(path) as index, pytest.raises(PluginError, match="too long") as caught:
        index.add([Document("c", "refused bread")])
    assert isinstance(caught.value.__cause__, InvalidInputError)
    with Index.open(path) as index:
        assert found(index, "bread") == ["b", "c"]


class Lengths:
    """Prefers short texts."""

    name = "lengths"

    def score(self, pairs: list[tuple[str, str]]) -> object:
        import numpy as np

        return np.array([-len(text) for _, text in pairs], np.float32)


def test_stage_scores_leave_out_a_package_that_fails(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Index.open(path) as index:
        rankings = index.retriever("bm25").retrieve(["poison bread"], 5)
        with caplog.at_level(logging.WARNING):
            [[hit]] = index.stage_scores(["poison bread"], rankings)
        assert list(hit.stage_scores) == ["bm25"]
        assert "my-search" in caplog.text
        response = Searcher(index, Lengths()).search("poison bread")
        assert [hit.id for hit in response.hits] == ["b"]


def test_figures_are_not_computed_without_the_scores_of_a_package_that_fails(path: Path) -> None:
    collection = JudgedCollection(
        "small", "test", {"q": "poison bread"}, {"q": {"b": 1}}, None, lambda query, id: ""
    )
    with Index.open(path) as index:
        source = CandidateSource(collection, index, "bm25", 5, reranked=True, with_scores=True)
        with pytest.raises(PluginError, match="'poison bread'"):
            list(source.candidates(["q"]))


@pytest.mark.parametrize("error", [OSError("no socket"), ModelNotFoundError("no socket")])
def test_an_engine_that_cannot_be_opened_leaves_the_others_searchable(
    path: Path, fails: dict[str, BaseException], error: Exception
) -> None:
    fails["open"] = error
    with Index.open(path) as index:
        assert found(index, "bread") == ["b"]
        with pytest.raises(PluginError, match=r"my-search.*Error: no socket"):
            found(index, "bread", "fragile")
        assert any("no socket" in problem for problem in index.verify())
        with pytest.raises(PluginError):
            index.add([Document("c", "wine")])
        assert len(index) == 2


def test_a_new_engine_without_a_state_file_is_refused(
    fails: dict[str, BaseException], tmp_path: Path
) -> None:
    with pytest.raises(PluginError, match=r"my-search.*wrote no state\.json"):
        Index.create(tmp_path / "index", encoder=None, first_stages=["stateless"])
    assert not (tmp_path / "index").exists()


def test_errors_in_refresh_and_close_do_not_hide_the_other_first_stages(
    path: Path, fails: dict[str, BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    with Index.open(path) as index:
        fails.update(stale=ValueError(), refresh=ValueError("no news"))
        assert index.refresh() is False
        assert found(index, "bread") == ["b"]
        with pytest.raises(PluginError, match="no news"):
            found(index, "bread", "fragile")
        assert any("no news" in problem for problem in index.verify())
        fails.update(leak=ValueError(), close=ValueError("still in use"))
    assert "still in use" in caplog.text


IDS, SCORES = np.array([1, 2]), np.ones(2, np.float32)
BAD_PASSAGES: list[tuple[object, object]] = [
    ([1, 2], SCORES),
    (IDS, [1.0, 1.0]),
    (IDS, SCORES[:1]),
    (IDS / 2, SCORES),
    (IDS.reshape(1, 2), SCORES),
    (IDS, SCORES.reshape(2, 1)),
    (IDS, np.array(["high", "low"])),
    (IDS, np.array([1.0, np.nan])),
    (IDS, np.array([1.0, np.inf])),
]


@pytest.mark.parametrize("passages", BAD_PASSAGES)
def test_passages_that_cannot_be_ranked_are_an_error_of_the_package(
    path: Path, answers: dict[str, Any], passages: tuple[object, object]
) -> None:
    with Index.open(path) as index:
        answers["search"] = passages
        with pytest.raises(PluginError, match=r"my-search.* from search .*one-dimensional"):
            found(index, "bread", "fragile")
        answers["search"] = (IDS.astype(np.uint64), SCORES)
        assert found(index, "bread", "fragile") == ["a", "b"]
        answers["search"] = (np.array([]), np.array([]))
        assert found(index, "bread", "fragile") == []


@pytest.mark.parametrize(
    "scores", [np.ones(0), np.ones((1, 1)), np.array(["high"]), np.array([np.nan]), [1.0]]
)
def test_scores_that_cannot_be_ranked_are_left_out(
    path: Path, answers: dict[str, Any], caplog: pytest.LogCaptureFixture, scores: object
) -> None:
    with Index.open(path) as index:
        rankings = index.retriever("bm25").retrieve(["bread"], 5)
        answers["scores"] = [scores]
        [[hit]] = index.stage_scores(["bread"], rankings)
        assert list(hit.stage_scores) == ["bm25"]
        assert "my-search" in caplog.text
        answers["scores"] = [np.array([0.5])]
        [[hit]] = index.stage_scores(["bread"], rankings)
        assert hit.stage_scores["fragile"] == 0.5


@pytest.mark.parametrize(
    "answer",
    [
        ["ab"],
        [("a", 1.0)],
        [[("a", 1.0)]],
        [Hit("a", 1.0, 1)],
        [[Hit("a", float("nan"), 1)]],
        [[Hit("a", None, 1)]],  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_hits_that_cannot_be_ranked_are_an_error_of_the_package(
    path: Path, answers: dict[str, Any], answer: object
) -> None:
    with Index.open(path) as index:
        answers["retrieve"] = answer
        with pytest.raises(PluginError, match=r"my-search.* returned from retrieve "):
            found(index, "bread", "combined")
        answers["retrieve"] = [(Hit("a", np.float32(1), 1),)]
        assert found(index, "bread", "combined") == ["a"]


@pytest.mark.parametrize("answer", [None, "no problems", [1]], ids=str)
def test_verify_names_the_package_whose_problems_are_no_sentences(
    path: Path, answers: dict[str, Any], answer: object
) -> None:
    answers["problems"] = answer
    with Index.open(path) as index:
        [problem] = index.verify()
    assert "my-search" in problem
    assert "must be a list of sentences" in problem


def test_the_number_of_a_change_may_be_one_of_numpy(
    fails: dict[str, BaseException], answers: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "numbers"
    with Index.create(path, encoder=None, first_stages=["numbered"]) as index:
        index.add([Document("a", "a boat")])
        assert found(index, "boat", "numbered") == ["a"]
        answers["seq"] = "two"
        with pytest.raises(PluginError, match=r"seq='two', .* whole number\. Upgrade that"):
            found(index, "boat", "numbered")


def test_a_package_that_counts_too_many_passages_spoils_no_progress(
    path: Path, answers: dict[str, Any]
) -> None:
    answers["progress"] = 5
    seen: list[int] = []
    with Index.open(path) as index:
        index.add([Document("c", "wine")], progress=seen.append)
        assert sum(seen) == 1
        assert found(index, "wine", "fragile") == ["c"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_failing_package_does_not_hide_why_an_add_ended(
    path: Path, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    def documents() -> Iterator[Document]:
        yield Document("c", "poison bread")
        raise error

    with Index.open(path) as index:
        with pytest.raises(error):
            index.add(documents(), batch_size=1)
        assert "ZeroDivisionError: no divisor" in caplog.text
        assert found(index, "bread") == ["b", "c"]


def test_readers_do_not_get_old_hits_of_a_first_stage_whose_package_failed(
    path: Path, fails: dict[str, BaseException]
) -> None:
    with Index.open(path, read_only=True) as early:
        assert found(early, "bread", "fragile") == ["b"]
        with Index.open(path) as index, pytest.raises(PluginError):
            index.add([Document("c", "poison bread")])
        with Index.open(path, read_only=True) as late:
            for reader in (early, late):
                assert found(reader, "bread") == ["b", "c"]
                with pytest.raises(PluginError, match=r"fragile is at change 2, but bm25 is at 3"):
                    found(reader, "bread", "fragile")
            del fails["poison"]
            Index.open(path).close()
            for reader in (early, late):
                assert found(reader, "bread", "fragile") == ["b", "c"]


def test_readers_search_an_index_whose_writer_has_published_nothing_yet(path: Path) -> None:
    seen: list[list[str]] = []

    def documents() -> Iterator[Document]:
        yield Document("c", "more bread")
        with Index.open(path, read_only=True) as reader:
            assert len(reader) == 3
            seen.extend(found(reader, "bread", stage) for stage in ("fragile", "bm25"))

    with Index.open(path) as index:
        index.add(documents(), batch_size=1)
    assert seen == [["b"], ["b"]]


def test_an_engine_that_fails_is_closed(path: Path, fails: dict[str, BaseException]) -> None:
    package = importlib.import_module("fragile")
    package.opened.clear()
    package.closed.clear()
    with Index.open(path, for_repair=True) as index:
        for text in ("poison", "more poison"):
            with pytest.raises(PluginError):
                index.add([Document(text, text)])
        with pytest.raises(PluginError):
            index.rebuild()
    assert sorted(map(id, package.closed)) == sorted(map(id, package.opened))


def test_compacting_goes_on_after_a_package_that_fails_in_it(
    path: Path, fails: dict[str, BaseException]
) -> None:
    def size() -> int:
        return (path / "documents.sqlite").stat().st_size

    with Index.open(path) as index:
        index.add(Document(str(i), "wine " * 200) for i in range(200))
        index.compact()
        full = size()
        index.delete(str(i) for i in range(200))
        fails.update(full=ValueError(), compact=ValueError("no room"))
        with pytest.raises(PluginError, match=r"my-search.*compact .*no room"):
            index.compact()
        assert size() < full
        assert found(index, "bread") == found(index, "bread", "fragile") == ["b"]
        assert index.verify() == []
