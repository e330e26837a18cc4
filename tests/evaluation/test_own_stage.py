"""First stages that search elsewhere: by the user's own code (an import path), and in stores."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rerank_search import Document, Fusion, Hit, Index
from rerank_search.errors import InvalidInputError, PluginError, StoreError
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import Experiment, experiment_of, load_experiment
from rerank_search.evaluation.report.schema import Report, SystemReport
from rerank_search.judged.own_stage import OwnStage
from rerank_search.reranking.fusion import Weights
from rerank_search.stores import open_store
from tests.evaluation.conftest import DOCUMENTS

STORE = '''
"""A store of the user's own, in LangChain."""

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from rerank_search.plugins.langchain import LangChainStage

class Letters(Embeddings):
    def embed_query(self, text):
        return [1.0 + text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"]
    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

def retriever():
    store = InMemoryVectorStore(Letters())
    store.add_documents([Document(f"{title}\\n{text}", id=id, metadata={"source": id})
        for id, (title, text) in DOCUMENTS.items()])
    return LangChainStage(store, scores="similarity")
'''


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes a module ``my_store`` of the text or of the objects, which can be imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(text: str = "", **objects: Any) -> Any:
        (tmp_path / "my_store.py").write_text(text, encoding="utf-8")
        sys.modules.pop("my_store", None)
        made = type(sys)("my_store")
        made.__dict__.update(objects)
        exec(compile(text, "my_store", "exec"), made.__dict__)
        sys.modules["my_store"] = made
        return made

    yield make
    sys.modules.pop("my_store", None)


class Listed:
    """A retriever that finds the same documents for every query, the first ones best."""

    name = "listed"

    def __init__(self, *ids: str) -> None:
        self.ids = ids

    def retrieve(self, queries: Any, k: int, *, filter: Any = None) -> list[list[Hit]]:
        ranking = [
            Hit(id, -float(rank), rank, Document(id, " ".join(DOCUMENTS.get(id, ("a", "b")))))
            for rank, id in enumerate(self.ids[:k], start=1)
        ]
        return [ranking for _ in queries]


@pytest.fixture
def experiment(beir: Path, tiny_reranker: Path) -> Callable[..., Experiment]:
    def make(**settings: Any) -> Experiment:
        defaults = {
            "collections": [str(beir)],
            "first_stages": ["my_store:retriever"],
            "candidates": [5],
            "rerankers": [{"model": str(tiny_reranker), "name": "tiny"}],
            "cost_queries": 0,
            "statistics": {"resamples": 100},
        }
        return Experiment.model_validate(defaults | settings)

    return make


def systems(report: Report) -> dict[str, SystemReport]:
    return {system.name: system for system in report.systems}


@pytest.mark.slow
def test_a_store_of_langchain_is_measured_beside_bm25(module, experiment, tmp_path: Path) -> None:
    module(STORE, DOCUMENTS=DOCUMENTS)
    asked = experiment(first_stages=["bm25", "my_store:retriever"], cost_queries=1)
    report = evaluate(asked, tmp_path / "out")
    found = systems(report)
    own, reranked = found["my_store:retriever@5"], found["my_store:retriever@5+tiny"]
    assert list(found) == ["bm25@5", own.name, "bm25@5+tiny", reranked.name]
    assert own.protocols["first_stage"]["R@100"] > 0
    assert reranked.protocols["retrieved"]["R@100"] == own.protocols["first_stage"]["R@100"]
    assert reranked.protocols["all_positives"]["R@100"] == 1.0
    assert reranked.cost is not None
    assert reranked.cost.index_bytes is None
    assert {"first_stage", "rerank", "total"} <= reranked.cost.latency_ms.keys()
    runs = sorted(path.name for path in (tmp_path / "out/runs/small/test").iterdir())
    assert "my_store.retriever@5.first_stage.trec" in runs


def test_the_ranking_is_that_of_the_retriever(module, experiment, tmp_path: Path) -> None:
    module(retriever=Listed("join", "read", "violin", "story", "split", "tower"))
    found = systems(evaluate(experiment(rerankers=[]), tmp_path / "out"))
    [own] = found.values()
    assert own.protocols["first_stage"]["MRR@10"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert own.protocols["first_stage"]["R@100"] == pytest.approx((1 + 1 / 2 + 1 + 1) / 4)


@pytest.mark.slow
def test_an_index_of_the_corpus_gets_the_figures_of_a_first_stage_of_the_collection(
    module, experiment, beir: Path, tiny_reranker: Path, tmp_path: Path
) -> None:
    fused = Path(shutil.copytree(tiny_reranker, tmp_path / "fused"))
    Fusion([Weights(0.0, {"rerank": 1.0, "bm25:z": 0.5})]).save(fused)
    with Index.create(tmp_path / "same", encoder=None) as index:
        index.add([Document(id, text, title) for id, (title, text) in DOCUMENTS.items()])
        module(retriever=index)
        report = evaluate(
            experiment(
                first_stages=["bm25", "my_store:retriever"],
                candidates=[1, 3],
                rerankers=[str(fused)],
                index={"encoder": False},
            ),
            tmp_path / "out",
        )
    figures = {system.name: system.protocols for system in report.systems}
    for depth in ("1", "3", "1+fused", "3+fused"):
        assert figures[f"my_store:retriever@{depth}"] == figures[f"bm25@{depth}"]


def test_results_that_the_corpus_lacks_are_reported_and_left_out(
    module, experiment, tmp_path: Path
) -> None:
    module(retriever=Listed("chunk-1", "join", "chunk-2"))
    for system in evaluate(experiment(), tmp_path / "out").systems:
        [warning] = [each for each in system.warnings if "not in the corpus, and" in each]
        assert warning == (
            "8 results of my_store:retriever are not in the corpus, and were left out "
            "(first: query 'q1': document 'chunk-1')"
        )
        assert system.protocols[system.shown]["MRR@10"] == pytest.approx(1 / 4)


@pytest.mark.slow
def test_a_store_that_has_changed_is_asked_again(module, experiment, tmp_path: Path) -> None:
    mine = Listed("join")
    module(retriever=mine)
    before = systems(evaluate(experiment(), tmp_path / "out"))
    mine.ids = ("violin", "read")
    after = systems(evaluate(experiment(), tmp_path / "out"))
    for name, system in after.items():
        assert system.protocols != before[name].protocols


def test_an_experiment_names_it_in_its_file(module, beir: Path, tmp_path: Path) -> None:
    module(retriever=Listed("join"))
    path = tmp_path / "mine.toml"
    path.write_text(
        f'collections = ["{beir}"]\nfirst_stages = ["my_store:retriever"]\ncost_queries = 0\n'
    )
    report = evaluate(load_experiment(path), tmp_path / "out")
    assert [system.first_stage for system in report.systems] == ["my_store:retriever"]


class Wrong(Listed):
    def __init__(self, found: Any) -> None:
        self.found = found

    def retrieve(self, queries: Any, k: int, *, filter: Any = None) -> Any:
        return self.found(queries)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (lambda queries: [], r"returned \[\], which must be a list of 4 lists"),
        (lambda queries: [[("join", 1.0)]] * len(queries), "which must be a Hit"),
        (lambda queries: [[Hit("a", float("nan"), 1)]] * len(queries), "must be a finite number"),
        (lambda queries: [[Hit("a", 1.0, 1)] * 2] * len(queries), "the hit 'a' twice"),
    ],
)
def test_an_invalid_ranking_is_an_error(module, experiment, tmp_path, found, message) -> None:
    module(retriever=Wrong(found))
    with pytest.raises(PluginError, match=message):
        evaluate(experiment(), tmp_path / "out")


def test_a_failing_retriever_is_named_with_its_error(module, experiment, tmp_path: Path) -> None:
    def fails(queries: Any) -> Any:
        raise ConnectionError("no route to host")

    module(retriever=Wrong(fails))
    with pytest.raises(PluginError, match=r"my_store:retriever failed in retrieve .Connection"):
        evaluate(experiment(), tmp_path / "out")


def test_a_hit_without_its_document_is_an_error(module, experiment, tmp_path: Path) -> None:
    module(retriever=Wrong(lambda queries: [[Hit("join", 1.0, 1)]] * len(queries)))
    with pytest.raises(InvalidInputError, match="without a document"):
        evaluate(experiment(), tmp_path / "out")


def test_a_missing_retriever_is_an_error_before_anything_is_written(
    experiment, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="there is no module 'my_store'"):
        evaluate(experiment(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_invalid_name_is_an_error(experiment) -> None:
    with pytest.raises(ValueError, match="write module:object"):
        experiment(first_stages=["my store:retriever"])
    with pytest.raises(ValueError, match="Your own is written module:object"):
        experiment(first_stages=["my_store"])
    with pytest.raises(ValueError, match="give each value once"):
        experiment(first_stages=["my_store:retriever"] * 2)


# Stores


@pytest.fixture
def url(text_store: Callable[..., str]) -> str:
    """A store of the collection's documents, and of one that the collection does not have."""
    documents = [Document(id, text, title) for id, (title, text) in DOCUMENTS.items()]
    return text_store([*documents, Document("new", "read the lines of music and a song")])


@pytest.mark.slow
def test_a_store_is_measured_by_its_url(url: str, experiment, tmp_path: Path) -> None:
    given = url.replace("fts5://", "fts5://ann:hush@")
    asked = experiment(first_stages=["bm25", given, f"mine={url}#bm25"], cost_queries=1)
    report = evaluate(asked, tmp_path / "out")
    found = systems(report)
    assert [each for each in found if "+" not in each] == ["bm25@5", "letters@5", "mine@5"]
    own, reranked = found["letters@5"], found["letters@5+tiny"]
    assert own.protocols == found["mine@5"].protocols
    assert own.protocols["first_stage"]["R@100"] > 0
    assert reranked.protocols["all_positives"]["R@100"] == 1.0
    assert reranked.cost is not None
    assert reranked.cost.index_bytes is None
    [warning] = [each for each in own.warnings if "not in the corpus, and" in each]
    assert warning.startswith("2 results of letters are not in the corpus, and were left out")
    written = {path.name: path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {"letters@5.first_stage.trec", "mine@5.first_stage.trec", "report.md"} <= written.keys()
    assert all(b"hush" not in path.read_bytes() for path in written.values())


def test_a_store_that_changes_is_asked_again(url: str, beir: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        f'collections = ["{beir}"]\ncandidates = [5]\nfirst_stages = ["{url}"]\ncost_queries = 0\n'
    )
    asked = load_experiment(path)
    before = systems(evaluate(asked, tmp_path / "out"))["letters@5"]
    with open_store(url) as store:
        store.delete(["violin", "read"])
    after = systems(evaluate(asked, tmp_path / "out"))["letters@5"]
    assert after.protocols != before.protocols


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("URL#dense", "has no first stage 'dense': use one of bm25"),
        ("URL?timeout=0", "timeout='0' of the store is not valid"),
        ("URLx", "does not exist: check its name"),
    ],
)
def test_a_store_that_cannot_be_searched_is_told_before_anything_is_written(
    url: str, experiment, tmp_path: Path, given: str, message: str
) -> None:
    asked = experiment(first_stages=[given.replace("URL", url)])
    with pytest.raises((InvalidInputError, StoreError), match=message):
        evaluate(asked, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("first_stages", "message"),
    [
        (["bm25=fts5:///a/b"], "cannot have the name 'bm25' of another first stage"),
        (["run=fts5:///a/b"], "cannot have the name 'run' of another first stage"),
        (["fts5:///a/b", "fts5:///c/b"], "give each value once"),
        (["fts5://ann:hush@host"], "write NAME=URL"),
    ],
)
def test_stores_have_names_of_their_own(first_stages: list[str], message: str) -> None:
    collection = {"qrels": "x", "topics": "y", "documents": "z", "runs": {"run": "run.trec"}}
    with pytest.raises(InvalidInputError, match=message) as refused:
        experiment_of({"collections": [collection], "first_stages": first_stages})
    assert "hush" not in str(refused.value)


def test_scores_that_a_store_did_not_give_are_an_error(url: str) -> None:
    with open_store(f"{url}?timeout=0.01&retries=0") as store:
        stage = OwnStage("letters", store)
        [hits] = stage.retrieve(["read the lines"], 2)
        bare = [replace(hit, stage_scores={}) for hit in hits]
        assert stage.scored(["read the lines"], [bare]) == [hits]
        with closing(sqlite3.connect(url.removeprefix("fts5://"), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StoreError, match="gave no scores for some hits"):
                stage.scored(["read the lines"], [bare])
