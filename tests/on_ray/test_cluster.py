import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from rerank_search import Index
from rerank_search.errors import ClusterError
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import experiment_of
from rerank_search.on_ray import RayCluster
from rerank_search.retrieval.encoder import Encoder
from tests.on_ray.same_results import documents, runs, scores, vectors
from tests.on_ray.slow_encoder import SlowEncoder
from tests.waiting import until

ray = pytest.importorskip("ray", reason="Ray is not installed")
# Ray itself uses what it deprecates.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.process,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
ray = pytest.importorskip("ray", reason="Ray is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """A cluster of one machine with two CPUs, to which this process is connected."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RERANK_SEARCH_THREADS", "1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}
        )
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def on_ray(cluster: object, tmp_path: Path) -> Iterator[RayCluster]:
    with RayCluster("auto", folder=tmp_path / "ray") as connected:
        yield connected


def test_an_index_has_the_same_bytes_and_nothing_is_left_of_the_work(
    on_ray: RayCluster, tiny_encoder: Path, tmp_path: Path
) -> None:
    corpus = documents(1_300)
    encoder = Encoder(str(tiny_encoder))
    with Index.create(tmp_path / "here", encoder=encoder) as here:
        here.add(corpus)
    with (
        on_ray,
        Index.create(tmp_path / "there", encoder=on_ray.encoder(encoder)) as there,
    ):
        there.add(corpus)
        assert list((tmp_path / "ray").glob("*/answers/*.parquet"))
        assert there.verify() == []
    assert len(vectors(tmp_path / "here")) >= 2
    assert vectors(tmp_path / "here") == vectors(tmp_path / "there")
    assert [path for path in (tmp_path / "ray").iterdir() if path.is_dir()] == []
    assert "ray" not in (tmp_path / "there/manifest.json").read_text().lower()


def test_a_worker_and_a_machine_that_are_killed_in_the_middle_change_nothing(
    cluster, tiny_encoder: Path, tmp_path: Path
) -> None:
    corpus = documents(350)
    slow = SlowEncoder(str(tiny_encoder))
    with Index.create(tmp_path / "here", encoder=Encoder(str(tiny_encoder))) as here:
        here.add(corpus)
    machine = cluster.add_node(num_cpus=1)
    answers = tmp_path / "ray"
    killed: list[str] = []

    def kill() -> None:
        until(lambda: len(_workers()) == 3 and _answered(answers) >= 2)
        _workers()[0].kill()
        killed.append("worker")
        before = _answered(answers)
        until(lambda: len(_workers()) == 3 and _answered(answers) > before)
        cluster.remove_node(machine, allow_graceful=False)
        killed.append("machine")

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with (
            RayCluster("auto", folder=answers) as on_ray,
            Index.create(tmp_path / "there", encoder=on_ray.encoder(slow)) as there,
        ):
            there.add(corpus)
            assert killed == ["worker", "machine"]
    finally:
        killer.join()
    assert vectors(tmp_path / "here") == vectors(tmp_path / "there")


def test_a_program_that_is_killed_goes_on_with_what_was_answered(
    on_ray: RayCluster, tiny_encoder: Path, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def dies_after_three(done: int) -> None:
        told.append(done)
        if len(told) == 3:
            raise Killed

    @contextmanager
    def progress(name: str, total: float) -> Iterator[Callable[[float], None]]:
        totals.append(total)
        yield dies_after_three

    told: list[int] = []
    totals: list[float] = []
    texts = [["king", f"queen {number}"] for number in range(12)]
    encoder = SlowEncoder(str(tiny_encoder))
    interrupted = RayCluster("auto", folder=tmp_path / "ray", progress=progress)
    with pytest.raises(Killed), interrupted:
        interrupted.encoder(encoder).foresee(texts, task="document", prompt="")
    again = RayCluster("auto", folder=tmp_path / "ray", progress=progress)
    with again:
        there = again.encoder(encoder)
        there.foresee(texts, task="document", prompt="")
        expected = Encoder(str(tiny_encoder)).encode(texts[7], task="document", prompt="")
        assert np.array_equal(there.encode(texts[7], task="document", prompt=""), expected)
    first, second = totals
    assert first == 12
    assert 0 < second <= 9


def test_an_evaluation_has_the_same_scores_and_runs(
    on_ray: RayCluster,
    collection: Path,
    tiny_encoder: Path,
    tiny_reranker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment = experiment_of(
        {
            "name": "colours",
            "collections": [{"path": str(collection), "split": "train"}],
            "first_stages": ["bm25", "dense"],
            "candidates": [8],
            "rerankers": [{"model": str(tiny_reranker)}],
            "index": {"encoder": str(tiny_encoder)},
            "cost_queries": 0,
        }
    )
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache-here"))
    evaluate(experiment, tmp_path / "here")
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache-there"))
    with on_ray:
        evaluate(experiment, tmp_path / "there", compute=on_ray)
        assert len(list((tmp_path / "ray").glob("*/answers/*"))) > 2
    assert runs(tmp_path / "here") == runs(tmp_path / "there")
    assert scores(tmp_path / "cache-here") == scores(tmp_path / "cache-there")


def test_workers_that_would_wait_for_ever_are_refused_at_once(
    cluster: object, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(workers: int | None = None) -> None:
        with RayCluster("auto", workers=workers, folder=tmp_path, wait=0.1) as on_ray:
            encoder = on_ray.encoder(Encoder(str(tiny_encoder)))
            encoder.foresee([["king"], ["queen"], ["old"]], task="document", prompt="")

    with pytest.raises(ClusterError, match="2 workers that take 1 CPU each, and 3 workers"):
        run(workers=3)
    holder = ray.remote(num_cpus=1)(_Holder).remote()
    until(lambda: ray.available_resources().get("CPU") == 1)
    with pytest.raises(
        ClusterError, match="no room now for 2 workers that take 1 CPU each, but for 2"
    ):
        run(workers=2)
    ray.kill(holder)
    monkeypatch.setenv("RERANK_SEARCH_THREADS", "4")
    with pytest.raises(ClusterError, match="room for 0 workers that take 4 CPUs"):
        run()


def test_a_folder_is_for_one_program_at_a_time(
    cluster: object, tiny_encoder: Path, tmp_path: Path
) -> None:
    encoder = Encoder(str(tiny_encoder))
    calls = [["king"]]
    with RayCluster("auto", folder=tmp_path) as first, RayCluster("auto", folder=tmp_path) as other:
        first.encoder(encoder).foresee(calls, task="document", prompt="")
        with pytest.raises(ClusterError, match="works with the same model in "):
            other.encoder(encoder).foresee(calls, task="document", prompt="")
    with RayCluster("auto", folder=tmp_path) as again:
        again.encoder(encoder).foresee(calls, task="document", prompt="")


def test_the_error_of_a_worker_is_told_and_ends_the_work(
    on_ray: RayCluster, tiny_encoder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(tiny_encoder, copy)
    encoder = Encoder(str(copy))
    made_with = encoder.identity()
    assert made_with
    # The model changes between the program's look at it and the worker's.
    foresight = on_ray.encoder(encoder)

    def changing() -> Iterator[list[str]]:
        yield from (["king"], ["queen"], ["old"])
        weights = copy / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")

    with pytest.raises(ClusterError, match="other files of the model"):
        foresight.foresee(changing(), task="document", prompt="")


class _Holder:
    """Holds a CPU of the cluster."""


def _answered(folder: Path) -> int:
    return len(list(folder.glob("*/answers/*.parquet")))


def _workers() -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any("MapWorker" in part for part in process.info["cmdline"] or [])
    ]
