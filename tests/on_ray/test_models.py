import json
import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank_search import Index, __version__
from rerank_search.compute import HERE, Compute
from rerank_search.errors import ClusterError, InvalidInputError
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import experiment_of
from rerank_search.on_ray import RayCluster
from rerank_search.on_ray.calls import Call, CallFolder
from rerank_search.on_ray.models import (
    EncoderInWorker,
    ForeseeingEncoder,
    ForeseeingReranker,
    RerankerInWorker,
    WorkersModel,
)
from rerank_search.on_ray.worker import MOST_TRIES, Worker, marker_of
from rerank_search.reranking.base import Reranker, Scores
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.remote_reranker import RemoteReranker
from rerank_search.retrieval.base import TextEncoder
from rerank_search.retrieval.encoder import Encoder
from rerank_search.retrieval.remote_encoder import RemoteEncoder
from rerank_search.retrieval.vector_files import VectorFiles
from rerank_search.training.data.groups import Group, TrainingSet
from rerank_search.training.data.mining import mined_set
from rerank_search.training.data.soft_labels import soft_labelled
from rerank_search.training.recipe.sources import Negatives, SoftLabels, Source
from rerank_search.types import Document
from tests.on_ray.same_results import documents, runs, scores


class OnlyForeseen:
    """A reranker that scores nothing itself; what it would have scored was not foreseen."""

    def __init__(self, real: Reranker) -> None:
        self.real = real
        self.name = real.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def score_with_report(self, pairs: Sequence[tuple[str, str]], **_: Any) -> Scores:
        raise AssertionError(f"a call of {len(pairs)} pairs was not foreseen")


class InOneProcess:
    """Answers all foreseen calls in this process, before the first of them is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rounds: list[int] = []

    def encoder(self, encoder: TextEncoder) -> TextEncoder:
        return ForeseeingEncoder(encoder, self.run)

    def reranker(self, reranker: Reranker) -> Reranker:
        return ForeseeingReranker(OnlyForeseen(reranker), self.run)

    def run(self, model: WorkersModel, calls: Iterable[Call]) -> CallFolder:
        if isinstance(model, RerankerInWorker) and isinstance(model.reranker, OnlyForeseen):
            model = RerankerInWorker(model.reranker.real)
        folder = CallFolder(self.folder)
        keys = folder.note(calls)
        self.rounds.append(len(keys))
        for key in reversed(keys):
            folder.keep(key, model.answer(folder.call(key)))
        return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> InOneProcess:
    return InOneProcess(tmp_path / "calls")


def test_an_index_has_the_same_vectors_however_often_it_was_published(
    elsewhere: InOneProcess, tiny_encoder: Path, tmp_path: Path
) -> None:
    encoder = Encoder(str(tiny_encoder))
    corpus = documents(5_300)
    short = [Document(each.id, each.text[:40], title="t") for each in corpus]
    with Index.create(tmp_path / "here", encoder=encoder) as here:
        here.add(short[:100])
        here.add(short[100:])
    with Index.create(tmp_path / "there", encoder=elsewhere.encoder(encoder)) as there:
        there.add(short[:100])
        there.add(short[100:])
        rounds = list(elsewhere.rounds)
        ranked = there.retriever("dense").retrieve(["king of the river"], 20)
    assert len(rounds) == 2
    with Index.open(tmp_path / "here") as here:
        assert here.retriever("dense").retrieve(["king of the river"], 20) == ranked
        assert stored(tmp_path / "here") == stored(tmp_path / "there")


def stored(index: Path) -> bytes:
    """All vectors, in the order of their passages; segments may be cut elsewhere."""
    files = VectorFiles(index / "dense")
    return b"".join(np.asarray(rows).tobytes() for _, rows in files.segments(files.read()))


def test_an_evaluation_makes_the_calls_that_were_foreseen(
    elsewhere: InOneProcess,
    collection: Path,
    tiny_encoder: Path,
    tiny_reranker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("sentence1,sentence2,label\nking,queen,1\nold,river,0\n")
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"query": "king", "positive": ["queen"], "negative": ["river", "old"]}\n')
    experiment = experiment_of(
        {
            "name": "village",
            "collections": [
                {"path": str(collection), "split": "train"},
                {"path": str(pairs)},
                {"path": str(samples)},
            ],
            "first_stages": ["bm25", "dense"],
            "candidates": [5],
            "rerankers": [{"model": str(tiny_reranker)}],
            "index": {"encoder": str(tiny_encoder)},
            "cost_queries": 0,
        }
    )
    for where, compute in (("here", HERE), ("there", elsewhere)):
        monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / f"cache-{where}"))
        evaluate(experiment, tmp_path / where, compute=compute)
    answers = [path.stem for path in (tmp_path / "calls/answers").iterdir()]
    assert len(answers) == sum(elsewhere.rounds)
    assert runs(tmp_path / "here") == runs(tmp_path / "there")
    assert scores(tmp_path / "cache-here") == scores(tmp_path / "cache-there")
    here, there = (
        json.loads((tmp_path / each / "report.json").read_text()) for each in ("here", "there")
    )
    assert here["pairs"] == there["pairs"]


def test_mined_groups_are_the_same_and_their_calls_found_in_rounds(
    elsewhere: InOneProcess,
    collection: Path,
    tiny_encoder: Path,
    tiny_reranker: Path,
    tmp_path: Path,
) -> None:
    negatives = {
        "encoder": str(tiny_encoder),
        "ranks": (1, 4),
        "per_query": 2,
        "random": 1,
        "false_negatives": {"reranker": str(tiny_reranker), "margin": 0.0},
    }
    labels = SoftLabels.model_validate(
        {"rerankers": [{"reranker": str(tiny_reranker), "weight": 1.0}]}
    )

    def mine(where: str, compute: Compute) -> bytes:
        file = tmp_path / where / "mined.jsonl"
        mined_set(
            Source(collection=collection),
            Negatives.model_validate(negatives),
            labels,
            seed=1,
            file=file,
            cache=tmp_path / where,
            compute=compute,
        )
        return file.read_bytes()

    there = mine("there", elsewhere)
    assert len(elsewhere.rounds) > 3
    assert there == mine("here", HERE)
    assert scores(tmp_path / "here") == scores(tmp_path / "there")


def test_soft_labels_of_pairs_are_computed_there_too(
    elsewhere: InOneProcess, tiny_reranker: Path, tmp_path: Path
) -> None:
    groups = [Group("king", [f"queen {number}", "river"], [1.0, 0.0]) for number in range(400)]
    pairs = TrainingSet("pairs", "train", "MIT", groups)
    labels = SoftLabels.model_validate(
        {"cosine": 0, "rerankers": [{"reranker": str(tiny_reranker), "weight": 1.0}]}
    )
    there = soft_labelled(pairs, labels, None, tmp_path / "there", elsewhere)
    assert elsewhere.rounds == [1]
    assert there == soft_labelled(pairs, labels, None, tmp_path / "here")


def test_calls_come_back_as_they_were_noted_each_once(tmp_path: Path) -> None:
    folder = CallFolder(tmp_path)
    odd = Call((["", "a\nb", "\ud800 lone", "Grüße"], ["1", "2", "3", "4"]), {"prompt": None})
    other = Call(odd.columns, {"prompt": "query: "})
    moved = Call((["", "a\n", "b\ud800 lone", "Grüße"], ["1", "2", "3", "4"]), {"prompt": None})
    assert len({odd.key, other.key, moved.key}) == 3
    assert folder.note([odd, other, odd]) == [odd.key, other.key]
    assert folder.call(odd.key) == odd
    assert folder.answer(odd) is None
    answer = {"vectors": np.arange(8, dtype=np.float32).reshape(4, 2), "cut": np.array([True] * 4)}
    folder.keep(odd.key, answer)
    again = folder.answer(odd)
    assert again is not None
    assert all(np.array_equal(again[name], array) for name, array in answer.items())
    assert {name: array.dtype for name, array in again.items()} == {
        "vectors": np.float32,
        "cut": np.bool_,
    }
    assert folder.note([odd, other]) == [other.key]
    with pytest.raises(FileNotFoundError):
        folder.call(odd.key)


def test_a_model_elsewhere_is_pickled_as_the_model_alone(
    elsewhere: InOneProcess, tiny_encoder: Path, tiny_reranker: Path
) -> None:
    encoder = elsewhere.encoder(Encoder(str(tiny_encoder), query_prompt="query: "))
    reranker = ForeseeingReranker(CrossEncoderReranker(str(tiny_reranker)), elsewhere.run)
    again = pickle.loads(pickle.dumps(encoder))  # noqa: S301
    assert type(again) is Encoder
    assert again.query_prompt == "query: "
    again = pickle.loads(pickle.dumps(reranker))  # noqa: S301
    assert type(again) is CrossEncoderReranker


def test_a_worker_refuses_what_would_give_other_answers(tmp_path: Path, tiny_encoder: Path) -> None:
    model = EncoderInWorker(Encoder(str(tiny_encoder)))
    identity = [__version__, *model.identity()]
    with pytest.raises(ClusterError, match="is not there on a machine"):
        Worker(model, str(tmp_path), identity)
    marker_of(tmp_path).write_text("{}")
    with pytest.raises(ClusterError, match=r"and the program 0\.0\.1: install the same version"):
        Worker(model, str(tmp_path), ["0.0.1", *model.identity()])
    with pytest.raises(ClusterError, match="other files of the model"):
        Worker(model, str(tmp_path), [__version__, "other"])
    folder, call = CallFolder(tmp_path), Call((["king"],), {"task": None, "prompt": None})
    folder.note([call])
    worker = Worker(model, str(tmp_path), identity)
    for _ in range(MOST_TRIES):
        folder.tried(call.key)
    with pytest.raises(ClusterError, match="5 workers died"):
        worker({"call": np.array([call.key])})


@pytest.mark.parametrize(
    ("address", "message"),
    [("", "is empty"), ("ray://host:10001", "through which Ray Data does not run")],
)
def test_an_unusable_address_is_an_error(address: str, message: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(InvalidInputError, match=message):
        RayCluster(address)


def test_a_cluster_that_does_not_answer_is_named_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    for address in ("127.0.0.1:1", "localhost:x", "localhost:99999", "no host:80"):
        with pytest.raises(ClusterError, match=f"at '{address}' cannot be reached"):
            RayCluster(address, folder=tmp_path).__enter__()


def test_a_model_behind_a_url_is_not_for_workers(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    cluster = RayCluster("local", folder=tmp_path)
    with pytest.raises(InvalidInputError, match="is computed by the server behind its URL"):
        cluster.encoder(RemoteEncoder("http://127.0.0.1:9/v1/embeddings"))
    with pytest.raises(InvalidInputError, match="is computed by the server behind its URL"):
        cluster.reranker(RemoteReranker("http://127.0.0.1:9/rerank"))
